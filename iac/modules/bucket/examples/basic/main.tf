# Datasets, encrypted with the project's key, their uploads and downloads logged.
module "bucket" {
  source                 = "../.."
  name                   = "mlops-staging-data-123456789012"
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  access_logs_bucket     = "mlops-access-logs-123456789012"
  noncurrent_expiry_days = 365
}
