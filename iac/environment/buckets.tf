locals {
  s3        = "arn:${local.context.partition}:s3:::"
  trail_arn = "arn:${local.context.partition}:cloudtrail:${local.context.region}:${local.context.account_id}:trail/${local.names.trail}"
  # Known before anything is made: core's names do not wait for its state.
  access_logs_bucket = module.names.account.access_logs_bucket
}

module "data_bucket" {
  source                 = "../modules/bucket"
  name                   = local.names.data_bucket
  kms_key_arn            = local.core.data_kms_key_arn
  access_logs_bucket     = local.access_logs_bucket
  noncurrent_expiry_days = var.noncurrent_expiry_days
}

# Training results, releases and model configuration.
module "models_bucket" {
  source                 = "../modules/bucket"
  name                   = local.names.models_bucket
  kms_key_arn            = local.core.data_kms_key_arn
  access_logs_bucket     = local.access_logs_bucket
  noncurrent_expiry_days = var.noncurrent_expiry_days
}

# The files of the audit trail; nothing watches this bucket.
module "logs_bucket" {
  source                 = "../modules/bucket"
  name                   = local.names.logs_bucket
  kms_key_arn            = local.core.data_kms_key_arn
  access_logs_bucket     = local.access_logs_bucket
  expiry_days            = var.audit_expiry_days
  noncurrent_expiry_days = var.audit_expiry_days
  statements = [
    {
      Sid       = "TrailChecksBucket"
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "s3:GetBucketAcl"
      Resource  = "${local.s3}${local.names.logs_bucket}"
      Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
    },
    {
      Sid       = "TrailWritesLogs"
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.s3}${local.names.logs_bucket}/AWSLogs/${local.context.account_id}/*"
      Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn, "s3:x-amz-acl" = "bucket-owner-full-control" } }
    },
  ]
}

module "audit" {
  source              = "../modules/audit"
  context             = local.context
  topic               = local.names.trail_topic
  log_group           = local.names.trail_log_group
  role_name           = local.names.trail_role
  log_retention_days  = var.log_retention_days
  name                = local.names.trail
  logs_bucket         = module.logs_bucket.name
  kms_key_arn         = local.core.data_kms_key_arn
  watched_bucket_arns = ["${local.s3}${local.names.data_bucket}", "${local.s3}${local.names.models_bucket}"]
}
