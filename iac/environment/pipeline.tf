locals {
  release_handlers    = ["authorise", "deploy", "smoke", "scale", "rollback", "record"]
  retraining_handlers = ["claim", "validate", "judge", "open_gate", "answer_gate", "note_plans", "reconcile"]
  handlers            = concat(local.release_handlers, local.retrains ? local.retraining_handlers : [], var.ttl_hours == null ? [] : ["expire"])
}

module "functions" {
  source                 = "../modules/functions"
  context                = local.context
  project                = var.project
  environment            = var.environment
  handlers               = local.handlers
  names                  = local.names
  runs                   = local.runs_names
  ledger_bucket          = local.core.ledger_bucket
  state                  = { bucket = var.state_bucket, key_alias = module.names.account.state_key_alias }
  approval_key_arn       = local.core.approval_key_arn
  approval_required      = !local.retrains
  kms_key_arn            = local.core.data_kms_key_arn
  package                = var.lambda_package
  package_bucket         = module.models_bucket.name
  commit                 = var.commit
  log_retention_days     = var.log_retention_days
  dead_letters_queue_arn = local.dead_letters_queue_arn
  reserved_concurrency   = var.reserved_concurrency
  vpc                    = local.functions_vpc
}

module "serving" {
  source             = "../modules/serving"
  for_each           = var.models
  context            = local.context
  model              = each.key
  names              = local.names.models[each.key]
  variant_name       = each.value.serving.variant_name
  model_folder       = "${var.models_folder}/${each.key}"
  models_bucket      = module.models_bucket.name
  repository         = local.repositories[each.key]
  kms_key_arn        = local.core.data_kms_key_arn
  latency_alarm_ms   = each.value.latency_alarm_ms
  alerts_topic_arn   = module.operations.alerts_topic_arn
  always_serves      = !local.retrains
  log_retention_days = var.log_retention_days
  vpc                = local.workloads_vpc
}

module "release" {
  source        = "../modules/release"
  for_each      = var.models
  context       = local.context
  project       = var.project
  environment   = var.environment
  model         = each.key
  names         = local.names.models[each.key]
  function_arns = module.functions.arns
  serving = {
    execution_role_arn = module.serving[each.key].role_arn
    kms_key_arn        = each.value.serving.encrypt_volume ? local.core.data_kms_key_arn : null
    instance_type      = each.value.serving.instance_type
    instance_count     = local.instance_counts[each.key]
    autoscaling = each.value.serving.autoscaling == null ? null : {
      min_instances            = coalesce(each.value.serving.autoscaling.min_instances, local.instance_counts[each.key])
      max_instances            = each.value.serving.autoscaling.max_instances
      invocations_per_instance = each.value.serving.autoscaling.invocations_per_instance
      scale_in_cooldown_s      = each.value.serving.autoscaling.scale_in_cooldown_s
      scale_out_cooldown_s     = each.value.serving.autoscaling.scale_out_cooldown_s
    }
    variant_name       = each.value.serving.variant_name
    network_isolation  = each.value.serving.network_isolation
    subnet_ids         = var.network.enabled ? local.workloads_vpc.subnet_ids : []
    security_group_ids = var.network.enabled ? local.workloads_vpc.security_group_ids : []
    startup_timeout_s  = each.value.serving.startup_timeout_s
    download_timeout_s = each.value.serving.download_timeout_s
    traffic            = each.value.serving.traffic
    termination_wait_s = each.value.serving.termination_wait_s
    max_runtime_s      = each.value.serving.max_runtime_s
    rollback_alarms    = module.serving[each.key].alarm_names
  }
  golden_uri             = module.serving[each.key].golden_uri
  approvals_from         = local.retrains ? null : local.runs_names.models[each.key].model_package_group
  dead_letters_queue_arn = local.dead_letters_queue_arn
  kms_key_arn            = local.core.data_kms_key_arn
  timeout_s              = var.release_timeout_s
  log_retention_days     = var.log_retention_days
}

module "retraining" {
  source                 = "../modules/retraining"
  for_each               = local.retrains ? var.models : {}
  context                = local.context
  project                = var.project
  environment            = var.environment
  model                  = each.key
  names                  = local.names.models[each.key]
  function_arns          = module.functions.arns
  images                 = var.images[each.key]
  repository             = local.repositories[each.key]
  training               = each.value.training
  evaluation             = each.value.evaluation
  vpc                    = local.workloads_vpc
  approval_timeout_s     = each.value.approval_timeout_s
  data_bucket            = local.names.data_bucket
  models_bucket          = local.names.models_bucket
  kms_key_arn            = local.core.data_kms_key_arn
  commit                 = var.commit
  alerts_topic_arn       = module.operations.alerts_topic_arn
  dead_letters_queue_arn = local.dead_letters_queue_arn
  log_retention_days     = var.log_retention_days
}

module "trigger" {
  source                 = "../modules/trigger"
  for_each               = module.retraining
  account_id             = local.context.account_id
  boundary_arn           = local.context.boundary_arn
  upload_rule            = local.names.models[each.key].upload_rule
  upload_trail_rule      = local.names.models[each.key].upload_trail_rule
  data_bucket            = local.names.data_bucket
  dataset_prefix         = local.names.models[each.key].dataset_prefix
  state_machine_arn      = each.value.state_machine_arn
  dead_letters_queue_arn = local.dead_letters_queue_arn
}
