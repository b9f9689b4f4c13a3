# Once an hour the function looks for what outlived its time. It needs no role: the function's own policy lets the rule in.
resource "aws_cloudwatch_event_rule" "hourly" {
  name                = var.rule
  description         = "Removes what releases made more than ${var.ttl_hours} hours ago."
  schedule_expression = "rate(1 hour)"
}

resource "aws_cloudwatch_event_target" "expire" {
  rule      = aws_cloudwatch_event_rule.hourly.name
  target_id = "expire"
  arn       = var.function_arn
  input     = jsonencode({ ttl_hours = var.ttl_hours })
  dead_letter_config {
    arn = var.dead_letters_queue_arn
  }
  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }
}

resource "aws_lambda_permission" "schedule" {
  statement_id   = "Expiry"
  action         = "lambda:InvokeFunction"
  function_name  = var.function_arn
  principal      = "events.amazonaws.com"
  source_arn     = aws_cloudwatch_event_rule.hourly.arn
  source_account = var.account_id
}
