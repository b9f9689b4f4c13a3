locals {
  # Of a key's policy: who uses the key is decided by IAM.
  granted_by_iam = {
    Sid       = "AccessIsGrantedByIam"
    Effect    = "Allow"
    Principal = { AWS = local.account_principal }
    Action    = "kms:*"
    Resource  = "*"
  }
}

resource "aws_kms_key" "state" {
  description             = "Encrypts the Terraform state of ${var.project}."
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [local.granted_by_iam]
  })
}

resource "aws_kms_alias" "state" {
  name          = module.names.account.state_key_alias
  target_key_id = aws_kms_key.state.key_id
}

module "state_bucket" {
  source                 = "../modules/bucket"
  name                   = module.names.account.state_bucket
  kms_key_arn            = aws_kms_key.state.arn
  access_logs_bucket     = module.names.account.access_logs_bucket
  noncurrent_expiry_days = 365
  # Plans hold what states hold, and are of no use once they are answered.
  short_lived = { "plans/" = var.plans_expiry_days }
  # Neither who plans nor who answers can write over what was said before. The ledger's entries are made from these.
  written_once = ["plans/*/manifest.json", "approvals/*", "rejections/*", "applied/*", "ended/*"]
  # S3 refuses a target that does not let it deliver.
  depends_on = [module.access_logs_bucket]
}
