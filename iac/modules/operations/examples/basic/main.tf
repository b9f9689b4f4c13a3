module "names" {
  source      = "../../../names"
  project     = "mlops"
  account_id  = "123456789012"
  environment = "staging"
  models      = ["iris"]
}

module "operations" {
  source             = "../.."
  context            = { partition = "aws", region = "us-east-1", account_id = "123456789012" }
  environment        = "staging"
  retrains           = true
  names              = module.names.environment
  variant_names      = { iris = "primary" }
  function_names     = { deploy = module.names.environment.functions["deploy"] }
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  alert_emails       = ["oncall@example.com"]
  monthly_budget_usd = 300
}
