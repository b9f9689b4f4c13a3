# Alarms on what runs the releases. Those on endpoints stand in the serving module, which names them to the releases.
locals {
  state_machines = merge(
    { for model, names in var.names.models : names.release_alarm => names.release_state_machine },
    var.retrains ? { for model, names in var.names.models : names.retraining_alarm => names.retraining_state_machine } : {},
  )

  failures = ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionThrottled"]
}

# A dataset that is quarantined and a candidate that misses a gate end well; a failure is one of ours or of AWS.
resource "aws_cloudwatch_metric_alarm" "executions" {
  for_each            = local.state_machines
  alarm_name          = each.key
  alarm_description   = "An execution of ${each.value} failed, ran out of time or was throttled."
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alerts.arn]

  metric_query {
    id          = "failures"
    label       = "Failed, timed out and throttled"
    expression  = "SUM([${join(", ", [for index, metric in local.failures : "m${index}"])}])"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.failures
    content {
      id = "m${metric_query.key}"
      metric {
        namespace   = "AWS/States"
        metric_name = metric_query.value
        dimensions  = { StateMachineArn = "arn:${var.context.partition}:states:${var.context.region}:${var.context.account_id}:stateMachine:${each.value}" }
        stat        = "Sum"
        period      = 60
      }
    }
  }
}

# A state machine retries a function or catches its error: one is no news, several in five minutes are.
resource "aws_cloudwatch_metric_alarm" "functions" {
  for_each            = var.function_names
  alarm_name          = var.names.function_alarms[each.key]
  alarm_description   = "The function ${each.value} fails again and again."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = each.value }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = var.function_errors
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}

# A message here is an upload or an answer that nobody acted upon.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = var.names.dead_letters_alarm
  alarm_description   = "An event of ${var.environment} could not be delivered."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.names.dead_letters_queue }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alerts.arn]
}
