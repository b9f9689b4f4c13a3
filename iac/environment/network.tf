# One private network per environment. Gateways to S3 and DynamoDB cost nothing and are all that isolated jobs and endpoints
# need; what functions call beside them has interface endpoints.
locals {
  function_endpoints = ["application-autoscaling", "kms", "sagemaker.api", "sagemaker.runtime", "states"]
  workloads_vpc      = var.network.enabled ? module.network[0].workloads : null
  functions_vpc      = var.network.enabled && var.network.functions ? module.network[0].functions : null
}

data "aws_availability_zones" "current" {
  count = var.network.enabled && var.network.zones == null ? 1 : 0
  state = "available"
  # By name, so that neither a local zone (it lacks most services) nor anything new comes in by itself.
  filter {
    name   = "zone-name"
    values = [for letter in ["a", "b", "c", "d", "e", "f"] : "${local.context.region}${letter}"]
  }
}

module "network" {
  source              = "../modules/network"
  count               = var.network.enabled ? 1 : 0
  context             = local.context
  name                = local.names.network
  cidr                = var.network.cidr
  zones               = var.network.zones != null ? var.network.zones : slice(sort(data.aws_availability_zones.current[0].names), 0, 2)
  buckets             = [local.names.data_bucket, local.names.models_bucket, local.runs_names.models_bucket, local.core.ledger_bucket, var.state_bucket]
  tables              = [local.runs_names.runs_table]
  interface_endpoints = setunion(var.network.interface_endpoints, var.network.functions ? local.function_endpoints : [])
  kms_key_arn         = local.core.data_kms_key_arn
  log_retention_days  = var.log_retention_days
}
