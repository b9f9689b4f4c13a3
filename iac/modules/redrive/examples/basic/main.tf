module "redrive" {
  source      = "../.."
  context     = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  environment = "production"
  name        = "mlops-production-redrive"
  queue = {
    arn = "arn:aws:sqs:us-east-1:123456789012:mlops-production-dead-letters"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/mlops-production-dead-letters"
  }
  state_machine_arns = ["arn:aws:states:us-east-1:123456789012:stateMachine:mlops-production-release-iris"]
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days = 365
}
