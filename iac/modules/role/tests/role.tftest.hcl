mock_provider "aws" {}

variables {
  name       = "mlops-staging-claim"
  service    = "lambda"
  account_id = "123456789012"
  policy     = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\"],\"Resource\":\"*\"}]}"
}

run "only_its_service_may_assume_it_and_only_for_this_account" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{
      Sid       = "ServiceOnBehalfOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }]
    error_message = "The trust policy names one service and the account it acts for."
  }
}

run "a_wildcard_action_is_refused" {
  command = plan

  variables {
    policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"s3:Get*\"],\"Resource\":\"*\"}]}"
  }

  expect_failures = [var.policy]
}

run "an_unknown_service_is_refused" {
  command = plan

  variables {
    service = "ec2"
  }

  expect_failures = [var.service]
}
