# Approvals and the history of releases: written once, kept under governance retention, removed by nobody's lifecycle.
module "ledger_bucket" {
  source                 = "../modules/bucket"
  name                   = local.names.ledger_bucket
  kms_key_arn            = aws_kms_key.data.arn
  access_logs_bucket     = local.names.access_logs_bucket
  retention_days         = var.ledger_retention_days
  noncurrent_expiry_days = null
  # Nothing is written over. Writing in parts is refused too, since a part cannot say that it expects nothing there.
  statements = [{
    Sid       = "WrittenOnce"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:PutObject"
    Resource  = "arn:${local.partition}:s3:::${local.names.ledger_bucket}/*"
    Condition = { Null = { "s3:if-none-match" = "true" } }
  }]
}
