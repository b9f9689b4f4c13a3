provider "aws" {
  default_tags {
    tags = {
      Project     = var.project
      Environment = "shared"
      ManagedBy   = "terraform"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

module "names" {
  source     = "../modules/names"
  for_each   = var.environments
  project    = var.project
  account_id = local.account_id
  models     = var.models
  # People work with the resources of every environment, which are named here as they are named there.
  environment = each.key
}

locals {
  account_id        = data.aws_caller_identity.current.account_id
  partition         = data.aws_partition.current.partition
  region            = data.aws_region.current.name
  account_principal = "arn:${local.partition}:iam::${local.account_id}:root"
  names             = one(toset(values(module.names)[*].account))
}
