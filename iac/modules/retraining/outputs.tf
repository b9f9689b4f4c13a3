output "state_machine_arn" {
  description = "ARN of the retraining state machine."
  value       = aws_sfn_state_machine.this.arn
}

output "model_package_group_name" {
  description = "Name of the group that candidates are registered in."
  value       = aws_sagemaker_model_package_group.this.model_package_group_name
}
