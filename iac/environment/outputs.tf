output "pipeline" {
  description = "What the command line needs to know of the environment: its buckets, its table, the approval key, and each model's endpoint and dataset prefix."
  value = {
    environment      = var.environment
    data_bucket      = local.names.data_bucket
    models_bucket    = local.names.models_bucket
    runs_table       = local.runs_names.runs_table
    ledger_bucket    = local.core.ledger_bucket
    approval_key_arn = local.core.approval_key_arn
    promotes_from    = var.promotes_from
    models = {
      for model in keys(var.models) : model => {
        endpoint_name  = local.names.models[model].endpoint
        dataset_prefix = local.retrains ? local.names.models[model].dataset_prefix : null
      }
    }
  }
}
