module "storage" {
  source        = "../modules/storage"
  account_id    = local.context.account_id
  data_bucket   = local.names.data_bucket
  models_bucket = local.names.models_bucket
  logs_bucket   = local.names.logs_bucket
  kms_key_arn   = local.core.data_kms_key_arn
  trail_arn     = "arn:${local.context.partition}:cloudtrail:${local.context.region}:${local.context.account_id}:trail/${local.names.trail}"
  watch_uploads = local.retrains
}

module "audit" {
  source              = "../modules/audit"
  name                = local.names.trail
  logs_bucket         = module.storage.logs_bucket
  kms_key_arn         = local.core.data_kms_key_arn
  watched_bucket_arns = [for bucket in [local.names.data_bucket, local.names.models_bucket] : "arn:${local.context.partition}:s3:::${bucket}"]
}
