locals {
  context = {
    partition    = data.aws_partition.current.partition
    region       = data.aws_region.current.name
    account_id   = data.aws_caller_identity.current.account_id
    boundary_arn = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:policy/${module.names.account.boundary_policy}"
  }

  # An environment that is promoted to does not retrain: it takes what was approved in another one.
  retrains         = var.promotes_from == null
  runs_environment = local.retrains ? var.environment : var.promotes_from

  names        = module.names.environment
  runs_names   = module.runs_names.environment
  repositories = module.names.account.repositories
  core         = data.terraform_remote_state.core.outputs
}

module "names" {
  source      = "../modules/names"
  project     = var.project
  account_id  = data.aws_caller_identity.current.account_id
  environment = var.environment
  models      = keys(var.models)
}

# The names of the environment whose runs are promoted: this one's own, where models are retrained.
module "runs_names" {
  source      = "../modules/names"
  project     = var.project
  account_id  = data.aws_caller_identity.current.account_id
  environment = local.runs_environment
  models      = keys(var.models)
}
