# What SageMaker does in the role for any container of a model's image, before what this one is for.
locals {
  at = "${var.context.region}:${var.context.account_id}"

  container_statements = [
    {
      Sid      = "PullImage"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = "arn:${var.context.partition}:ecr:${local.at}:repository/${var.repository}"
    },
    {
      # A login is to the registry, which is no resource.
      Sid      = "RegistryLogin"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = "*"
    },
    {
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = concat(["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], var.makes_log_group ? ["logs:CreateLogGroup"] : [])
      Resource = "arn:${var.context.partition}:logs:${local.at}:log-group:${var.log_group}*"
    },
    {
      # Metrics are no resource; the namespace is what can be held.
      Sid       = "PublishMetrics"
      Effect    = "Allow"
      Action    = ["cloudwatch:PutMetricData"]
      Resource  = "*"
      Condition = { StringLike = { "cloudwatch:namespace" = ["AWS/SageMaker", "/aws/sagemaker/*"] } }
    },
    {
      Sid      = "UseDataKey"
      Effect   = "Allow"
      Action   = var.writes ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
      Resource = var.kms_key_arn
    },
  ]

  # A job's volume; an endpoint's is encrypted by who makes the endpoint.
  volume_statements = [
    {
      Sid       = "EncryptVolumes"
      Effect    = "Allow"
      Action    = ["kms:CreateGrant"]
      Resource  = var.kms_key_arn
      Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    },
    {
      Sid      = "DescribeDataKey"
      Effect   = "Allow"
      Action   = ["kms:DescribeKey"]
      Resource = var.kms_key_arn
    },
  ]
}

module "role" {
  source       = "../role"
  name         = var.name
  description  = var.description
  service      = "sagemaker"
  source_arns  = ["arn:${var.context.partition}:sagemaker:${local.at}:*"]
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.container_statements, [for statement in local.volume_statements : statement if var.writes], var.statements)
  })
}
