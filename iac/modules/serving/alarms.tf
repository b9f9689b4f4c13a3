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
}
