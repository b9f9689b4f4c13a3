mock_provider "aws" {
  source = "../../testing"
}

variables {
  context     = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  project     = "mlops"
  environment = "production"
  handlers    = ["authorise", "deploy", "smoke", "scale", "rollback", "record"]
  names = {
    prefix        = "mlops-production"
    data_bucket   = "mlops-production-data-123456789012"
    models_bucket = "mlops-production-models-123456789012"
    functions = {
      for handler in ["claim", "authorise", "deploy", "smoke", "scale", "rollback", "record"] : handler => "mlops-production-${handler}"
    }
  }
  runs = {
    prefix        = "mlops-staging"
    models_bucket = "mlops-staging-models-123456789012"
    runs_table    = "mlops-staging-runs"
  }
  ledger_bucket          = "mlops-ledger-123456789012"
  state                  = { bucket = "mlops-tfstate-123456789012", key_alias = "alias/mlops-tfstate" }
  approval_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111"
  approval_required      = true
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  package                = "functions.tf" # any file: nothing is uploaded
  package_bucket         = "mlops-production-models-123456789012"
  commit                 = "abcdef1"
  log_retention_days     = 30
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-production-dead-letters"
}

run "each_handler_is_a_function_with_a_log_group" {
  command = plan

  assert {
    condition     = { for handler, function in aws_lambda_function.this : handler => function.function_name } == { for handler in var.handlers : handler => var.names.functions[handler] }
    error_message = "There is one function per handler, and no other."
  }
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == var.kms_key_arn && group.retention_in_days == 30])
    error_message = "Each log group is encrypted and kept for the given days."
  }
}

run "production_demands_an_approval_and_reads_stagings_runs" {
  command = plan

  assert {
    condition = alltrue([
      for function in aws_lambda_function.this :
      one(function.environment).variables.APPROVAL_REQUIRED == "true" && one(function.environment).variables.RUNS_TABLE == "mlops-staging-runs"
    ])
    error_message = "A production function must demand an approval, and look for the run where it was made."
  }
}

run "a_function_runs_what_was_packed" {
  command = plan

  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.source_code_hash == filebase64sha256("functions.tf")])
    error_message = "Another package must be another version of the function."
  }
}

run "a_function_is_bounded_traced_and_loses_no_event" {
  command = plan

  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.reserved_concurrent_executions == 10 && one(function.tracing_config).mode == "Active"])
    error_message = "Each function runs so many times at once, and is traced."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : one(function.dead_letter_config).target_arn == var.dead_letters_queue_arn])
    error_message = "What a function failed on is kept in the dead-letter queue."
  }
}

run "a_limit_at_which_nothing_runs_is_refused" {
  command = plan

  variables {
    reserved_concurrency = 0
  }

  expect_failures = [var.reserved_concurrency]
}

run "an_unknown_handler_is_refused" {
  command = plan

  variables {
    handlers = ["deploi"]
  }

  expect_failures = [var.handlers]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
