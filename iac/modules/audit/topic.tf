# Told of every log file that is delivered: whoever examines the trail need not look for new files.
resource "aws_sns_topic" "files" {
  name              = var.topic
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "files" {
  arn = aws_sns_topic.files.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TrailTells"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.files.arn
        Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
      },
      {
        Sid       = "DenyPlainHttp"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.files.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

locals {
  trail_arn = "arn:${var.context.partition}:cloudtrail:${var.context.region}:${var.context.account_id}:trail/${var.name}"
}
