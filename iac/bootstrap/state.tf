locals {
  # Its objects, by the bucket's name, which is known before the bucket is there.
  state_objects = "arn:${local.partition}:s3:::${module.names.account.state_bucket}"

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
  statements = [{
    Sid       = "WrittenOnce"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:PutObject"
    Resource = [
      "${local.state_objects}/plans/*/manifest.json", "${local.state_objects}/approvals/*", "${local.state_objects}/rejections/*",
      "${local.state_objects}/applied/*", "${local.state_objects}/ended/*",
    ]
    Condition = { Null = { "s3:if-none-match" = "true" } }
  }]
  # S3 refuses a target that does not let it deliver.
  depends_on = [module.access_logs_bucket]
}
