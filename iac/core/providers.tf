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
  project    = var.project
  account_id = local.account_id
  models     = var.models
}

locals {
  account_id        = data.aws_caller_identity.current.account_id
  partition         = data.aws_partition.current.partition
  region            = data.aws_region.current.name
  account_principal = "arn:${local.partition}:iam::${local.account_id}:root"
  names             = module.names.account
}
