module "names" {
  source      = "../../../names"
  project     = "mlops"
  account_id  = "123456789012"
  environment = "staging"
  models      = ["iris"]
}

module "serving" {
  source             = "../.."
  context            = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  model              = "iris"
  names              = module.names.environment.models["iris"]
  variant_name       = "primary"
  model_folder       = "${path.module}/../../../../../model_src/models/iris"
  models_bucket      = module.names.environment.models_bucket
  repository         = module.names.account.repositories["iris"]
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  latency_alarm_ms   = 500
  alerts_topic_arn   = "arn:aws:sns:us-east-1:123456789012:mlops-staging-alerts"
  always_serves      = false
  log_retention_days = 365
}
