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
}

# What people work with in every environment bears the names that it has there.
module "environment_names" {
  source      = "../modules/names"
  for_each    = toset(["staging", "production"])
  project     = var.project
  account_id  = local.account_id
  environment = each.key
}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name
  # "arn:<partition>:<service>:<region>:<account>" of every regional service, for the deployer's statements.
  arn = { for service in ["dynamodb", "ecr", "events", "lambda", "logs", "sagemaker", "sns", "sqs", "states", "cloudtrail", "cloudwatch", "kms"] :
  service => "arn:${local.partition}:${service}:${local.region}:${local.account_id}" }
  account_principal = "arn:${local.partition}:iam::${local.account_id}:root"
}
