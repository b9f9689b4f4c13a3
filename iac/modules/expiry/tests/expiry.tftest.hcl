mock_provider "aws" {
  source = "../../testing"
}

variables {
  environment            = "staging"
  rule                   = "mlops-staging-expiry"
  ttl_hours              = 72
  function_arn           = "arn:aws:lambda:us-east-1:123456789012:function:mlops-staging-expire"
  account_id             = "123456789012"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-staging-dead-letters"
}

run "the_schedule_tells_the_function_how_long" {
  command = apply

  assert {
    condition     = jsondecode(aws_cloudwatch_event_target.expire.input) == { ttl_hours = 72 }
    error_message = "The function learns the time-to-live from the event."
  }
  assert {
    condition     = aws_lambda_permission.schedule.source_arn == aws_cloudwatch_event_rule.hourly.arn
    error_message = "This rule alone may call the function."
  }
}

run "production_does_not_expire" {
  command = plan

  variables {
    environment = "production"
  }

  expect_failures = [var.environment]
}

run "no_time_at_all_is_refused" {
  command = plan

  variables {
    ttl_hours = 0
  }

  expect_failures = [var.ttl_hours]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
