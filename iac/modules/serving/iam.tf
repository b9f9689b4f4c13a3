locals {
  arn = "arn:${var.context.partition}"
  at  = "${var.context.region}:${var.context.account_id}"
}

module "role" {
  source       = "../role"
  name         = var.names.serving_role
  service      = "sagemaker"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "What the containers behind ${var.names.endpoint} may do."
  source_arns  = ["${local.arn}:sagemaker:${local.at}:*"]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(jsondecode(var.vpc == null ? "[]" : var.vpc.role_statements), [
      {
        Sid      = "LoadReleases"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.arn}:s3:::${var.models_bucket}/releases/${var.model}-*"
      },
      {
        Sid       = "FindReleases"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = "${local.arn}:s3:::${var.models_bucket}"
        Condition = { StringLike = { "s3:prefix" = "releases/${var.model}-*" } }
      },
      {
        Sid      = "DecryptReleases"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = var.kms_key_arn
      },
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "${local.arn}:ecr:${local.at}:repository/${var.repository}"
      },
      {
        Sid      = "RegistryLogin"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = "*"
      },
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.endpoint.arn}:*"
      },
      {
        Sid       = "PublishMetrics"
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = "*"
        Condition = { StringLike = { "cloudwatch:namespace" = ["AWS/SageMaker", "/aws/sagemaker/*"] } }
      },
    ])
  })
}
