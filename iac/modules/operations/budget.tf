# What an environment costs is told by its tags: activate Project and Environment as cost allocation tags in the account.
resource "aws_budgets_budget" "monthly" {
  count             = var.monthly_budget_usd == null ? 0 : 1
  name              = var.names.budget
  budget_type       = "COST"
  limit_amount      = format("%.1f", var.monthly_budget_usd)
  limit_unit        = "USD"
  time_unit         = "MONTHLY"
  time_period_start = "2026-01-01_00:00" # explicit: left out, it is the month of the apply, and differs in the next

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:Environment$%s", var.environment)]
  }

  notification {
    notification_type         = "ACTUAL"
    comparison_operator       = "GREATER_THAN"
    threshold_type            = "PERCENTAGE"
    threshold                 = 80
    subscriber_sns_topic_arns = [aws_sns_topic.alerts.arn]
  }

  notification {
    notification_type         = "FORECASTED"
    comparison_operator       = "GREATER_THAN"
    threshold_type            = "PERCENTAGE"
    threshold                 = 100
    subscriber_sns_topic_arns = [aws_sns_topic.alerts.arn]
  }

  # AWS tries the topic out when the budget is made.
  depends_on = [aws_sns_topic_policy.alerts]
}
