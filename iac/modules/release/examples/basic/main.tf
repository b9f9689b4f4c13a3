module "names" {
  source      = "../../../names"
  project     = "mlops"
  account_id  = "123456789012"
  environment = "staging"
  models      = ["iris"]
}

locals {
  names = module.names.environment
}

module "release" {
  source        = "../.."
  context       = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  project       = "mlops"
  environment   = "staging"
  model         = "iris"
  names         = local.names.models["iris"]
  function_arns = { for handler, name in local.names.functions : handler => "arn:aws:lambda:us-east-1:123456789012:function:${name}" }
  serving = {
    execution_role_arn = "arn:aws:iam::123456789012:role/${local.names.models["iris"].serving_role}"
    kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    instance_type      = "ml.m5.large"
    instance_count     = 1
    variant_name       = "primary"
    network_isolation  = true
    startup_timeout_s  = 300
    download_timeout_s = 600
    traffic            = { type = "ALL_AT_ONCE", wait_s = 0 }
    termination_wait_s = 0
    max_runtime_s      = 1800
    rollback_alarms    = [local.names.models["iris"].errors_alarm]
  }
  golden_uri             = "s3://${local.names.models_bucket}/config/iris/model.json"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:${local.names.dead_letters_queue}"
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days     = 365
}
