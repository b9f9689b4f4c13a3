resource "aws_cloudtrail" "this" {
  name                       = var.name
  s3_bucket_name             = var.logs_bucket
  sns_topic_name             = aws_sns_topic.files.name
  kms_key_id                 = var.kms_key_arn
  enable_log_file_validation = true
  # Whoever reads or writes an object is recorded, from whichever region the call came. The selectors below take no
  # management events, so that neither of the two adds any.
  is_multi_region_trail         = true
  include_global_service_events = true
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

  # CloudTrail tries the topic out when the trail is made.
  depends_on = [aws_sns_topic_policy.files]
}
