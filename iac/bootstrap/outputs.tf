output "state_bucket" {
  description = "Bucket that holds the Terraform state of every root."
  value       = aws_s3_bucket.state.id
}

output "state_kms_key_arn" {
  description = "ARN of the key that encrypts the state bucket."
  value       = aws_kms_key.state.arn
}

output "deployer_role_arn" {
  description = "ARN of the role that plans and applies the other roots."
  value       = aws_iam_role.deployer.arn
}
