module "network" {
  source = "../.."
  context = {
    partition    = "aws"
    region       = "us-east-1"
    account_id   = "123456789012"
    boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary"
  }
  name                = "mlops-production-network"
  cidr                = "10.20.16.0/20"
  zones               = ["us-east-1a", "us-east-1b"]
  buckets             = ["mlops-production-data-123456789012", "mlops-production-models-123456789012"]
  tables              = ["mlops-staging-runs"]
  interface_endpoints = ["kms", "sagemaker.api", "sagemaker.runtime", "states"]
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days  = 365
}
