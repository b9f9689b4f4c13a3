# Signs approvals. Whatever IAM says, nobody signs with it but the approver role, and, where CI has gates of its own, the role that
# writes down who answered there.
locals {
  signers = concat([module.names.account.approver_role], local.has_ci ? [module.names.account.ci_approve_role] : [])
}

resource "aws_kms_key" "approval" {
  description              = "Signs the approvals of ${var.project}."
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.granted_by_iam,
      {
        Sid       = "OnlyApproversSign"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "kms:Sign"
        Resource  = "*"
        Condition = { ArnNotEquals = {
          "aws:PrincipalArn" = [for role in local.signers : "arn:${local.partition}:iam::${local.account_id}:role/${role}"]
        } }
      },
    ]
  })
}

resource "aws_kms_alias" "approval" {
  name          = module.names.account.approval_key_alias
  target_key_id = aws_kms_key.approval.key_id
}
