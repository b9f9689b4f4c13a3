output "repository_urls" {
  description = "Image repository URL of each model."
  value       = { for model, repository in aws_ecr_repository.model : model => repository.repository_url }
}

output "data_kms_key_arn" {
  description = "ARN of the key that encrypts data at rest."
  value       = aws_kms_key.data.arn
}

output "approval_key_arn" {
  description = "ARN of the key that signs approvals."
  value       = data.aws_kms_alias.approval.target_key_arn
}

output "ledger_bucket" {
  description = "Bucket of approvals and release history."
  value       = module.ledger_bucket.name
}
