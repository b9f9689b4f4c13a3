module "expiry" {
  source                 = "../.."
  environment            = "staging"
  rule                   = "mlops-staging-expiry"
  ttl_hours              = 72
  function_arn           = "arn:aws:lambda:us-east-1:123456789012:function:mlops-staging-expire"
  account_id             = "123456789012"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-staging-dead-letters"
}
