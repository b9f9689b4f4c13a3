mock_provider "aws" {
  source = "../../testing"
}

variables {
  context = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  model   = "iris"
  names = {
    endpoint       = "mlops-staging-iris"
    serving_role   = "mlops-staging-serving-iris"
    errors_alarm   = "mlops-staging-iris-5xx"
    latency_alarm  = "mlops-staging-iris-latency"
    refusals_alarm = "mlops-staging-iris-4xx"
    silence_alarm  = "mlops-staging-iris-silence"
  }
  variant_name       = "primary"
  model_folder       = "../../../model_src/models/iris"
  models_bucket      = "mlops-staging-models-123456789012"
  repository         = "mlops-iris"
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  latency_alarm_ms   = 500
  alerts_topic_arn   = "arn:aws:sns:us-east-1:123456789012:mlops-staging-alerts"
  always_serves      = true
  log_retention_days = 30
}

run "the_alarms_look_at_this_variant_and_take_silence_for_silence" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in [aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.latency] :
      alarm.dimensions == tomap({ EndpointName = "mlops-staging-iris", VariantName = "primary" }) && alarm.treat_missing_data == "missing"
    ])
    error_message = "An alarm must look at the model's own variant, and missing data is not health."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.latency.threshold == 500000
    error_message = "The latency metric is in microseconds."
  }
}

run "every_alarm_acts_on_the_topic" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in [aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.latency, aws_cloudwatch_metric_alarm.refusals, aws_cloudwatch_metric_alarm.silence[0]] :
      alarm.alarm_actions == toset([var.alerts_topic_arn])
    ])
    error_message = "An alarm that tells nobody is none."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.silence[0].treat_missing_data == "breaching"
    error_message = "Where the endpoint is meant to be up, silence is the alarm."
  }
  assert {
    condition     = length(output.alarm_names) == 2
    error_message = "A release is rolled back for server errors and latency; neither for what callers send, nor for silence before it."
  }
}

run "the_models_configuration_is_what_the_model_team_wrote" {
  command = plan

  assert {
    condition     = jsondecode(aws_s3_object.model.content).name == yamldecode(file("${var.model_folder}/model.yaml")).name
    error_message = "The functions must read the model team's own configuration."
  }
}

run "a_latency_beyond_sagemakers_own_limit_is_refused" {
  command = plan

  variables {
    latency_alarm_ms = 60001
  }

  expect_failures = [var.latency_alarm_ms]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
