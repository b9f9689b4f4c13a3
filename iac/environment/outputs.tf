output "pipeline" {
  description = "What the command line needs to know of the environment: its buckets, its table, the approval key, the state machine that hands on dead letters, and each model's endpoint and dataset prefix."
  value = {
    environment      = var.environment
    data_bucket      = local.names.data_bucket
    models_bucket    = local.names.models_bucket
    runs_table       = local.runs_names.runs_table
    ledger_bucket    = local.core.ledger_bucket
    approval_key_arn = local.core.approval_key_arn
    promotes_from    = var.promotes_from
    redrive_arn      = module.redrive.state_machine_arn
    models = {
      for model in keys(var.models) : model => {
        endpoint_name  = local.names.models[model].endpoint
        dataset_prefix = local.retrains ? local.names.models[model].dataset_prefix : null
      }
    }
  }
}

# No resource of Terraform's says it: endpoints belong to releases. A plan's cost is told from it.
output "endpoint_instances" {
  description = "What a release runs, by model: instance_type and the instance_count that its endpoint starts with."
  value = {
    for model, settings in var.models :
    model => { instance_type = settings.serving.instance_type, instance_count = local.instance_counts[model] }
  }
}

# Looking for drift, and previews, need what an apply was given, and have not built it.
output "delivered" {
  description = "What was applied last: the commit, and each model's images by digest."
  value       = { commit = var.commit, images = var.images }
}
