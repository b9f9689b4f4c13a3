locals {
  bucket = "arn:${var.context.partition}:s3:::${var.models_bucket}"
}

module "role" {
  source      = "../container_role"
  context     = var.context
  name        = var.names.serving_role
  description = "What the containers behind ${var.names.endpoint} may do."
  repository  = var.repository
  kms_key_arn = var.kms_key_arn
  log_group   = aws_cloudwatch_log_group.endpoint.name
  writes      = false
  statements = concat(jsondecode(var.vpc == null ? "[]" : var.vpc.role_statements), [
    {
      Sid      = "LoadReleases"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = "${local.bucket}/releases/${var.model}-*"
    },
    {
      Sid       = "FindReleases"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = local.bucket
      Condition = { StringLike = { "s3:prefix" = "releases/${var.model}-*" } }
    },
  ])
}
