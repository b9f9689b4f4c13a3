mock_provider "aws" {
  source = "../../testing"
}

variables {
  context     = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  environment = "staging"
  name        = "mlops-staging-redrive"
  queue = {
    arn = "arn:aws:sqs:us-east-1:123456789012:mlops-staging-dead-letters"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/mlops-staging-dead-letters"
  }
  state_machine_arns       = ["arn:aws:states:us-east-1:123456789012:stateMachine:mlops-staging-retraining-iris"]
  answer_gate_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:mlops-staging-answer-gate"
  kms_key_arn              = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days       = 365
}

run "a_letter_is_deleted_only_after_it_was_handed_on" {
  command = plan

  assert {
    condition = alltrue([
      for state in [for name in ["Start", "AnswerGate"] : jsondecode(aws_sfn_state_machine.this.definition).States.Letters.ItemProcessor.States[name]] :
      state.Next == "HandedOn" && state.Catch[0].Next == "Leave"
    ])
    error_message = "What could not be handed on must stay in the queue."
  }
}

run "only_what_is_recognised_is_dropped" {
  command = plan

  assert {
    condition = (
      jsondecode(aws_sfn_state_machine.this.definition).States.Letters.ItemProcessor.States.WhatIsIt.Default == "Unknown" &&
      alltrue([for state in ["Unknown", "NotReadable"] :
      jsondecode(aws_sfn_state_machine.this.definition).States.Letters.ItemProcessor.States[state].Next == "Leave"])
    )
    error_message = "A letter that nobody recognises must stay in the queue."
  }
}

run "nothing_to_start_is_refused" {
  command = plan

  variables {
    state_machine_arns = []
  }

  expect_failures = [var.state_machine_arns]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
