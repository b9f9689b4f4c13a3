module "role" {
  source     = "../role"
  name       = var.upload_rule
  service    = "events"
  account_id = var.account_id
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
