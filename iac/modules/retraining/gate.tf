# An answer about a candidate wakes the run that waits for it.
resource "aws_cloudwatch_event_rule" "answer" {
  name        = var.names.answer_rule
  description = "A model package of ${var.names.model_package_group} was approved or rejected."
  event_pattern = jsonencode({
    source      = ["aws.sagemaker"]
    detail-type = ["SageMaker Model Package State Change"]
    detail = {
      ModelPackageGroupName = [var.names.model_package_group]
      ModelApprovalStatus   = ["Approved", "Rejected"]
    }
  })
}

resource "aws_cloudwatch_event_target" "answer_gate" {
  rule      = aws_cloudwatch_event_rule.answer.name
  target_id = "answer-gate"
  arn       = var.function_arns["answer_gate"]
  dead_letter_config {
    arn = var.dead_letters_queue_arn
  }
  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }
}

resource "aws_lambda_permission" "answer_gate" {
  statement_id  = "answers-for-${var.model}"
  action        = "lambda:InvokeFunction"
  function_name = var.function_arns["answer_gate"]
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.answer.arn
}
