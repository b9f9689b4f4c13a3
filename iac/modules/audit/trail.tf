resource "aws_cloudtrail" "this" {
  name                          = var.name
  s3_bucket_name                = var.logs_bucket
  kms_key_id                    = var.kms_key_arn
  enable_log_file_validation    = true
  include_global_service_events = false
  cloud_watch_logs_group_arn    = "${aws_cloudwatch_log_group.trail.arn}:*"
  cloud_watch_logs_role_arn     = module.role.arn

  advanced_event_selector {
    name = "Objects of the data and models buckets"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
    field_selector {
      field       = "resources.ARN"
      starts_with = [for arn in sort(var.watched_bucket_arns) : "${arn}/"]
    }
  }
}
