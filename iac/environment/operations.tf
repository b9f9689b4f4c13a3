module "operations" {
  source             = "../modules/operations"
  context            = local.context
  environment        = var.environment
  retrains           = local.retrains
  names              = local.names
  variant_names      = { for model, settings in var.models : model => settings.serving.variant_name }
  function_names     = { for handler in local.handlers : handler => local.names.functions[handler] }
  kms_key_arn        = local.core.data_kms_key_arn
  alert_emails       = var.alert_emails
  monthly_budget_usd = var.monthly_budget_usd
}

module "expiry" {
  source                 = "../modules/expiry"
  count                  = var.ttl_hours == null ? 0 : 1
  environment            = var.environment
  rule                   = local.names.expiry_rule
  ttl_hours              = var.ttl_hours
  function_arn           = module.functions.arns["expire"]
  account_id             = local.context.account_id
  dead_letters_queue_arn = local.dead_letters_queue_arn
}
