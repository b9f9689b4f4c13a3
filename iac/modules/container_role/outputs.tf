output "arn" {
  description = "ARN of the role, known once its permissions are attached."
  value       = module.role.arn
}
