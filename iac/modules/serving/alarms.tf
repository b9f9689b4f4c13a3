# Missing data is not health: without requests the alarms say "insufficient data".
locals {
  dimensions = {
    EndpointName = var.names.endpoint
    VariantName  = var.variant_name
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = var.names.errors_alarm
  alarm_description   = "The endpoint ${var.names.endpoint} answers with server errors."
  namespace           = "AWS/SageMaker"
  metric_name         = "Invocation5XXErrors"
  dimensions          = local.dimensions
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "missing"
  alarm_actions       = [var.alerts_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  alarm_name          = var.names.latency_alarm
  alarm_description   = "The model behind ${var.names.endpoint} answers slowly."
  namespace           = "AWS/SageMaker"
  metric_name         = "ModelLatency"
  dimensions          = local.dimensions
  extended_statistic  = "p99"
  period              = 60
  evaluation_periods  = 3
  threshold           = var.latency_alarm_ms * 1000 # the metric is in microseconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "missing"
  alarm_actions       = [var.alerts_topic_arn]
}

# Callers who send what the contract refuses: their defect or a changed contract, and no reason to roll back.
resource "aws_cloudwatch_metric_alarm" "refusals" {
  alarm_name          = var.names.refusals_alarm
  alarm_description   = "More than a tenth of the requests to ${var.names.endpoint} are refused."
  evaluation_periods  = 3
  threshold           = 10
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "missing"
  alarm_actions       = [var.alerts_topic_arn]

  metric_query {
    id          = "percent"
    label       = "Refused requests (%)"
    expression  = "100 * refused / requests"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { refused = "Invocation4XXErrors", requests = "Invocations" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SageMaker"
        metric_name = metric_query.value
        dimensions  = local.dimensions
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

# Each instance reports its CPU every minute: where none does, no endpoint is up, whatever the other alarms say. It rings
# before an environment's first release, too.
resource "aws_cloudwatch_metric_alarm" "silence" {
  count               = var.always_serves ? 1 : 0
  alarm_name          = var.names.silence_alarm
  alarm_description   = "No instance of ${var.names.endpoint} reports: the endpoint is down or was never made."
  namespace           = "/aws/sagemaker/Endpoints"
  metric_name         = "CPUUtilization"
  dimensions          = local.dimensions
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 5
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alerts_topic_arn]
}
