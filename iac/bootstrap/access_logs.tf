# Who read and wrote which object of the project's buckets, by bucket. S3 delivers such logs to buckets with its own keys only,
# and this bucket's own are not kept: they would log themselves.
module "access_logs_bucket" {
  source                 = "../modules/bucket"
  name                   = module.names.account.access_logs_bucket
  s3_keys                = true
  access_logs_bucket     = null
  expiry_days            = var.access_logs_expiry_days
  noncurrent_expiry_days = 1
  statements = [{
    Sid       = "S3DeliversAccessLogs"
    Effect    = "Allow"
    Principal = { Service = "logging.s3.amazonaws.com" }
    Action    = "s3:PutObject"
    Resource  = "arn:${local.partition}:s3:::${module.names.account.access_logs_bucket}/*"
    Condition = {
      ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:s3:::${var.project}-*" }
      StringEquals = { "aws:SourceAccount" = local.account_id }
    }
  }]
}
