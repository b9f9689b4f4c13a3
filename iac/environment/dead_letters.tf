# Events that EventBridge could not deliver. One queue serves all rules: a message names its rule and target.
resource "aws_sqs_queue" "dead_letters" {
  name                      = local.names.dead_letters_queue
  message_retention_seconds = 1209600 # 14 days, the longest there is
  kms_master_key_id         = local.core.data_kms_key_arn
  # Inline: a policy of its own would double the provider's wait.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RulesOfThisEnvironment"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.dead_letters_queue_arn
        Condition = { ArnLike = {
          "aws:SourceArn" = "arn:${local.context.partition}:events:${local.context.region}:${local.context.account_id}:rule/${local.names.prefix}-*"
        } }
      },
      {
        Sid       = "DenyPlainHttp"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "sqs:*"
        Resource  = local.dead_letters_queue_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# A message here is an upload or an answer that nobody acted upon.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = local.names.dead_letters_alarm
  alarm_description   = "An event of ${var.environment} could not be delivered."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = local.names.dead_letters_queue }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "missing"
}

# Composed, so that rules need not wait 25 s for the queue.
locals {
  dead_letters_queue_arn = "arn:${local.context.partition}:sqs:${local.context.region}:${local.context.account_id}:${local.names.dead_letters_queue}"
}
