mock_provider "aws" {
  source = "../../testing"
}

variables {
  context = {
    partition    = "aws"
    region       = "us-east-1"
    account_id   = "123456789012"
    boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary"
  }
  name        = "mlops-staging-serving-iris"
  description = "What the containers behind mlops-staging-iris may do."
  repository  = "mlops-iris"
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_group   = "/aws/sagemaker/Endpoints/mlops-staging-iris"
  writes      = false
  statements  = []
}

run "an_endpoint_encrypts_nothing" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for statement in local.container_statements :
      [for action in statement.Action : !contains(["kms:GenerateDataKey", "kms:CreateGrant", "logs:CreateLogGroup"], action)]
    ]))
    error_message = "An endpoint reads its model; it writes nothing under the data key and makes no log group."
  }
}

run "a_log_group_of_something_else_is_refused" {
  command = plan

  variables {
    log_group = "/aws/lambda/mlops-staging-claim"
  }

  expect_failures = [var.log_group]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
