# Signs approvals. Whatever IAM says, nobody but the approver role signs with it.
resource "aws_kms_key" "approval" {
  description              = "Signs the approvals of ${var.project}."
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 7
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
        Sid       = "OnlyApproversSign"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "kms:Sign"
        Resource  = "*"
        Condition = { ArnNotEquals = {
          "aws:PrincipalArn" = "arn:${local.partition}:iam::${local.account_id}:role/${module.names.account.approver_role}"
        } }
      },
    ]
  })
}

resource "aws_kms_alias" "approval" {
  name          = module.names.account.approval_key_alias
  target_key_id = aws_kms_key.approval.key_id
}
