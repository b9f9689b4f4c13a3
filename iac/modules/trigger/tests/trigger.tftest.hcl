mock_provider "aws" {
  source = "../../testing"
}

variables {
  upload_rule            = "mlops-staging-upload-iris"
  upload_trail_rule      = "mlops-staging-upload-trail-iris"
  account_id             = "123456789012"
  boundary_arn           = "arn:aws:iam::123456789012:policy/mlops-boundary"
  data_bucket            = "mlops-staging-data-123456789012"
  dataset_prefix         = "datasets/iris/"
  state_machine_arn      = "arn:aws:states:us-east-1:123456789012:stateMachine:mlops-staging-retraining-iris"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-staging-dead-letters"
}

run "both_routes_watch_the_models_datasets_only" {
  command = apply

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.s3.event_pattern).detail.object.key == [{ prefix = "datasets/iris/" }]
    error_message = "S3's events count under the model's prefix only: outputs in the same bucket must not start a run."
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.trail.event_pattern).detail.requestParameters.key == [{ prefix = "datasets/iris/" }]
    error_message = "CloudTrail's events count under the model's prefix only."
  }
}

run "every_way_to_upload_counts" {
  command = apply

  assert {
    condition = toset(jsondecode(aws_cloudwatch_event_rule.trail.event_pattern).detail.eventName) == toset([
      "PutObject", "CompleteMultipartUpload", "CopyObject", "PostObject",
    ])
    error_message = "A pattern with PutObject alone misses multipart, copied and posted objects."
  }
}

run "both_routes_start_the_run_with_the_same_keys" {
  command = apply

  assert {
    condition = alltrue([
      for route, target in aws_cloudwatch_event_target.retraining :
      toset(keys(jsondecode(replace(target.input_transformer[0].input_template, "/<[a-z_]+>/", "null")))) ==
      toset(["bucket", "key", "version_id", "uploaded_by", "route"])
    ])
    error_message = "The state machine's input is bucket, key, version_id, uploaded_by, route."
  }
  assert {
    condition = alltrue([
      for target in aws_cloudwatch_event_target.retraining :
      target.dead_letter_config[0].arn == var.dead_letters_queue_arn && target.role_arn == module.role.arn
    ])
    error_message = "Each target has the rules' role and the dead-letter queue."
  }
}

run "a_prefix_without_a_slash_is_refused" {
  command = plan

  variables {
    dataset_prefix = "datasets/iris"
  }

  expect_failures = [var.dataset_prefix]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
