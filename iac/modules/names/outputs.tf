output "account" {
  description = "Names of what exists once per account; repositories is a map from model to ECR repository name."
  value       = local.account
}

output "environment" {
  description = "Names of what exists once per environment, with maps functions (by handler) and models (by model); null without an environment."
  value       = var.environment == null ? null : local.environment
}
