output "state_bucket" {
  description = "Bucket that holds the Terraform state of every root."
  value       = module.state_bucket.name
}

output "access_logs_bucket" {
  description = "Bucket that receives the access logs of the project's buckets."
  value       = module.access_logs_bucket.name
}

output "state_kms_key_arn" {
  description = "ARN of the key that encrypts the state bucket."
  value       = aws_kms_key.state.arn
}

output "deployer_role_arn" {
  description = "ARN of the role that plans and applies the other roots."
  value       = aws_iam_role.deployer.arn
}

output "approval_key_arn" {
  description = "ARN of the key that signs approvals."
  value       = aws_kms_key.approval.arn
}

output "boundary_arn" {
  description = "ARN of the permissions boundary that every role of an environment must have."
  value       = aws_iam_policy.boundary.arn
}

output "data_scientist_role_arn" {
  description = "ARN of the role that uploads datasets."
  value       = aws_iam_role.data_scientist.arn
}

output "approver_role_arn" {
  description = "ARN of the role that approves models."
  value       = aws_iam_role.approver.arn
}

output "ci_role_arns" {
  description = "ARNs of the roles that GitHub Actions takes on, by what they do (plan, apply); none without github_repository."
  value       = { for name, role in aws_iam_role.ci : name => role.arn }
}
