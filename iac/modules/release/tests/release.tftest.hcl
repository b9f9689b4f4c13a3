mock_provider "aws" {
  source = "../../testing"
}

variables {
  context     = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  project     = "mlops"
  environment = "production"
  model       = "iris"
  names = {
    endpoint              = "mlops-production-iris"
    release_state_machine = "mlops-production-release-iris"
    approval_rule         = "mlops-production-approval-iris"
  }
  function_arns = {
    for handler in ["authorise", "deploy", "smoke", "scale", "rollback", "record"] :
    handler => "arn:aws:lambda:us-east-1:123456789012:function:mlops-production-${handler}"
  }
  serving = {
    execution_role_arn = "arn:aws:iam::123456789012:role/mlops-production-serving-iris"
    kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    instance_type      = "ml.m5.large"
    instance_count     = 2
    variant_name       = "primary"
    network_isolation  = true
    startup_timeout_s  = 300
    download_timeout_s = 600
    traffic            = { type = "ALL_AT_ONCE", wait_s = 0 }
    termination_wait_s = 0
    max_runtime_s      = 1800
    rollback_alarms    = ["mlops-production-iris-5xx"]
  }
  golden_uri             = "s3://mlops-production-models-123456789012/config/iris/model.json"
  approvals_from         = "mlops-staging-iris"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-production-dead-letters"
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days     = 365
}

run "every_task_of_the_definition_has_a_time_out_and_a_way_out" {
  command = plan

  assert {
    condition = alltrue([
      for state in jsondecode(aws_sfn_state_machine.this.definition).States :
      state.Type != "Task" || can(state.Catch) && can(state.TimeoutSeconds)
    ])
    error_message = "A task without TimeoutSeconds waits for a year; one without Catch ends without a reason."
  }
}

run "only_an_approval_of_stagings_group_starts_a_release" {
  command = plan

  assert {
    condition = jsondecode(one(aws_cloudwatch_event_rule.approval).event_pattern).detail == {
      ModelPackageGroupName = ["mlops-staging-iris"]
      ModelApprovalStatus   = ["Approved"]
    }
    error_message = "Neither a rejection nor another group's package may start a release."
  }
}

run "without_a_group_nothing_starts_it_by_itself" {
  command = plan

  variables {
    approvals_from = null
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.approval) == 0 && length(aws_cloudwatch_event_target.release) == 0
    error_message = "On staging the retraining state machine starts the release."
  }
}

run "a_missing_function_is_refused" {
  command = plan

  variables {
    function_arns = { deploy = "arn:aws:lambda:us-east-1:123456789012:function:mlops-production-deploy" }
  }

  expect_failures = [var.function_arns]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
