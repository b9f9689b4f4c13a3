module "audit" {
  source              = "../.."
  context             = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  name                = "mlops-staging-audit"
  topic               = "mlops-staging-audit"
  log_group           = "/aws/cloudtrail/mlops-staging-audit"
  role_name           = "mlops-staging-audit"
  log_retention_days  = 365
  logs_bucket         = "mlops-staging-logs-123456789012"
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  watched_bucket_arns = ["arn:aws:s3:::mlops-staging-data-123456789012"]
}
