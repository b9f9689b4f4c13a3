module "role" {
  source       = "../role"
  name         = var.upload_rule
  service      = "events"
  account_id   = var.account_id
  boundary_arn = var.boundary_arn
  description  = "Starts a retraining when a dataset was uploaded."
  source_arns  = [aws_cloudwatch_event_rule.s3.arn, aws_cloudwatch_event_rule.trail.arn]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "StartRetraining"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = var.state_machine_arn
    }]
  })
}
