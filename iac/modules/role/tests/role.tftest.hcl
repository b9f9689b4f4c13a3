mock_provider "aws" {
  source = "../../testing"
}

variables {
  name         = "mlops-staging-claim"
  service      = "lambda"
  account_id   = "123456789012"
  description  = "What the function mlops-staging-claim may do."
  boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary"
  policy       = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\"],\"Resource\":\"*\"}]}"
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

run "it_is_made_within_the_boundary" {
  command = plan

  assert {
    condition     = aws_iam_role.this.permissions_boundary == var.boundary_arn
    error_message = "A role without the boundary could be given anything."
  }
}

run "a_service_that_names_its_resource_is_held_to_it" {
  command = plan

  variables {
    service     = "states"
    source_arns = ["arn:aws:states:us-east-1:123456789012:stateMachine:mlops-staging-release-iris"]
  }

  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.ArnLike["aws:SourceArn"][0] == var.source_arns[0]
    error_message = "Only this state machine may act in the role."
  }
}

run "a_service_that_could_name_its_resource_must" {
  command = plan

  variables {
    service = "sagemaker"
  }

  expect_failures = [var.source_arns]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
