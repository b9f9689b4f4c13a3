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

module "retraining" {
  source        = "../.."
  context       = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  project       = "mlops"
  environment   = "staging"
  model         = "iris"
  names         = local.names.models["iris"]
  function_arns = { for handler, name in local.names.functions : handler => "arn:aws:lambda:us-east-1:123456789012:function:${name}" }
  images = {
    training = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris@sha256:${sha256("an image")}"
    serving  = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris@sha256:${sha256("another")}"
  }
  repository             = module.names.account.repositories["iris"]
  training               = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 3600 }
  evaluation             = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 1800 }
  approval_timeout_s     = 86400
  data_bucket            = local.names.data_bucket
  models_bucket          = local.names.models_bucket
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  commit                 = "abcdef1"
  alerts_topic_arn       = "arn:aws:sns:us-east-1:123456789012:${local.names.alerts_topic}"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:${local.names.dead_letters_queue}"
  log_retention_days     = 365
}
