module "audit" {
  source              = "../.."
  name                = "mlops-staging-audit"
  logs_bucket         = "mlops-staging-logs-123456789012"
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  watched_bucket_arns = ["arn:aws:s3:::mlops-staging-data-123456789012"]
}
