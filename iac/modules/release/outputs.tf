output "state_machine_arn" {
  description = "ARN of the release state machine."
  value       = aws_sfn_state_machine.this.arn
}
