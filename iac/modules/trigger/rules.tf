# An upload is told twice, by S3 and by CloudTrail. S3's event comes surely, CloudTrail's names the person; both lead to the
# same claim, so that one run comes of them.
resource "aws_cloudwatch_event_rule" "s3" {
  name        = var.upload_rule
  description = "A dataset was uploaded, as S3 tells it."
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.data_bucket] }
      object = { key = [{ prefix = var.dataset_prefix }] }
    }
  })
}

resource "aws_cloudwatch_event_rule" "trail" {
  name        = var.upload_trail_rule
  description = "A dataset was uploaded, as CloudTrail tells it."
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["AWS API Call via CloudTrail"]
    detail = {
      eventSource = ["s3.amazonaws.com"]
      eventName   = ["PutObject", "CompleteMultipartUpload", "CopyObject", "PostObject"]
      errorCode   = [{ exists = false }]
      requestParameters = {
        bucketName = [var.data_bucket]
        key        = [{ prefix = var.dataset_prefix }]
      }
    }
  })
}

locals {
  routes = {
    s3 = {
      rule = aws_cloudwatch_event_rule.s3.name
      paths = {
        bucket     = "$.detail.bucket.name"
        key        = "$.detail.object.key"
        version_id = "$.detail.object.version-id"
      }
      uploaded_by = "null"
    }
    cloudtrail = {
      rule = aws_cloudwatch_event_rule.trail.name
      paths = {
        bucket      = "$.detail.requestParameters.bucketName"
        key         = "$.detail.requestParameters.key"
        version_id  = "$.detail.responseElements.x-amz-version-id"
        uploaded_by = "$.detail.userIdentity.arn"
      }
      uploaded_by = "<uploaded_by>"
    }
  }
}

resource "aws_cloudwatch_event_target" "retraining" {
  for_each  = local.routes
  rule      = each.value.rule
  target_id = "retraining"
  arn       = var.state_machine_arn
  role_arn  = module.role.arn
  dead_letter_config {
    arn = var.dead_letters_queue_arn
  }
  retry_policy {
    maximum_event_age_in_seconds = var.maximum_event_age_s
    maximum_retry_attempts       = var.maximum_retries
  }
  input_transformer {
    input_paths    = each.value.paths
    input_template = <<-JSON
      {"bucket": <bucket>, "key": <key>, "version_id": <version_id>, "uploaded_by": ${each.value.uploaded_by}, "route": "${each.key}"}
    JSON
  }
}
