mock_provider "aws" {
  source = "../../testing"
}

variables {
  context             = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  name                = "mlops-staging-audit"
  topic               = "mlops-staging-audit"
  log_group           = "/aws/cloudtrail/mlops-staging-audit"
  role_name           = "mlops-staging-audit"
  log_retention_days  = 30
  logs_bucket         = "mlops-staging-logs-123456789012"
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  watched_bucket_arns = ["arn:aws:s3:::mlops-staging-data-123456789012", "arn:aws:s3:::mlops-staging-models-123456789012"]
}

run "log_files_can_be_proved_unaltered" {
  command = plan

  assert {
    condition     = aws_cloudtrail.this.enable_log_file_validation && aws_cloudtrail.this.kms_key_id == var.kms_key_arn
    error_message = "Log files need digests and the project's key."
  }
}

run "no_region_is_left_out_and_each_file_is_told_of" {
  command = apply

  assert {
    condition     = aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.include_global_service_events
    error_message = "An object may be reached from any region."
  }
  assert {
    condition     = aws_cloudtrail.this.sns_topic_name == "mlops-staging-audit" && aws_sns_topic.files.kms_master_key_id == var.kms_key_arn
    error_message = "Log files are told of by an encrypted topic."
  }
  assert {
    condition = one([
      for statement in jsondecode(aws_sns_topic_policy.files.policy).Statement : statement.Condition.StringEquals["aws:SourceArn"] if statement.Effect == "Allow"
    ]) == "arn:aws:cloudtrail:us-east-1:123456789012:trail/mlops-staging-audit"
    error_message = "Nobody but this trail tells."
  }
}

run "only_the_watched_buckets_objects_are_recorded" {
  command = plan

  assert {
    condition = one([
      for field in one(aws_cloudtrail.this.advanced_event_selector).field_selector : field.starts_with if field.field == "resources.ARN"
    ]) == tolist([for arn in sort(var.watched_bucket_arns) : "${arn}/"])
    error_message = "Without the slash a bucket whose name begins alike is recorded too."
  }
}

run "the_log_group_gets_the_records_in_a_role_that_writes_nowhere_else" {
  command = apply

  assert {
    condition     = aws_cloudtrail.this.cloud_watch_logs_group_arn == "${aws_cloudwatch_log_group.trail.arn}:*" && aws_cloudwatch_log_group.trail.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.trail.retention_in_days == 30
    error_message = "Records go to an encrypted log group that forgets them in time."
  }
  assert {
    condition     = aws_cloudtrail.this.cloud_watch_logs_role_arn == module.role.arn
    error_message = "The trail writes in its own role."
  }
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
