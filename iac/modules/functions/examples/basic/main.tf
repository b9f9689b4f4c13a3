variable "package" {
  description = "Path of the package that `mlops plan` builds."
  type        = string
  default     = "../../../../../build/lambda.zip"
}

module "names" {
  source      = "../../../names"
  project     = "mlops"
  account_id  = "123456789012"
  environment = "staging"
  models      = ["iris"]
}

module "functions" {
  source                 = "../.."
  context                = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  project                = "mlops"
  environment            = "staging"
  handlers               = ["authorise", "deploy", "smoke", "scale", "rollback", "record"]
  names                  = module.names.environment
  runs                   = module.names.environment
  ledger_bucket          = module.names.account.ledger_bucket
  state                  = { bucket = module.names.account.state_bucket, key_alias = module.names.account.state_key_alias }
  approval_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111"
  approval_required      = false
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  package                = var.package
  package_bucket         = module.names.environment.models_bucket
  commit                 = "abcdef1"
  log_retention_days     = 365
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-production-dead-letters"
}
