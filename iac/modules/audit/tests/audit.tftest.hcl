mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                = "mlops-staging-audit"
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

run "only_the_watched_buckets_objects_are_recorded" {
  command = plan

  assert {
    condition = one([
      for field in one(aws_cloudtrail.this.advanced_event_selector).field_selector : field.starts_with if field.field == "resources.ARN"
    ]) == tolist([for arn in sort(var.watched_bucket_arns) : "${arn}/"])
    error_message = "Without the slash a bucket whose name begins alike is recorded too."
  }
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
