output "pipeline" {
  description = "What the command line needs to know of the environment: where it is, its buckets, its table, and each model's endpoint, model package group and state machines."
  value = {
    environment      = var.environment
    region           = local.context.region
    account_id       = local.context.account_id
    data_bucket      = local.names.data_bucket
    models_bucket    = local.names.models_bucket
    logs_bucket      = local.names.logs_bucket
    runs_table       = local.runs_names.runs_table
    ledger_bucket    = local.core.ledger_bucket
    approval_key_arn = local.core.approval_key_arn
    promotes_from    = var.promotes_from
    models = {
      for model in keys(var.models) : model => {
        endpoint_name                = local.names.models[model].endpoint
        model_package_group_name     = local.runs_names.models[model].model_package_group
        retraining_state_machine_arn = local.retrains ? module.retraining[model].state_machine_arn : null
        release_state_machine_arn    = module.release[model].state_machine_arn
        dataset_prefix               = local.retrains ? local.names.models[model].dataset_prefix : null
      }
    }
  }
}
