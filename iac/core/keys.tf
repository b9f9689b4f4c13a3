# One key for data at rest. Who may use it is decided by IAM; the services that encrypt on their own account are named.
resource "aws_kms_key" "data" {
  description             = "Encrypts the data of ${var.project}: buckets, table, queues, logs, images, volumes."
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccessIsGrantedByIam"
        Effect    = "Allow"
        Principal = { AWS = local.account_principal }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
        Resource  = "*"
        Condition = { ArnLike = {
          "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:/aws/*/${var.project}-*"
        } }
      },
      {
        # Log files, and the encrypted topic that is told of them.
        Sid       = "Trails"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account_id }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:cloudtrail:${local.region}:${local.account_id}:trail/${var.project}-*" }
        }
      },
      {
        # Alarms and budgets that write to an encrypted topic.
        Sid       = "Alerts"
        Effect    = "Allow"
        Principal = { Service = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
      {
        # Rules that write to an encrypted queue or topic.
        Sid       = "Rules"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account_id }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:events:${local.region}:${local.account_id}:rule/${var.project}-*" }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "data" {
  name          = local.names.data_key_alias
  target_key_id = aws_kms_key.data.key_id
}

# Made by bootstrap, with the roles of the people it serves: who applies this root may not change it.
data "aws_kms_alias" "approval" {
  name = local.names.approval_key_alias
}
