output "state_machine_arn" {
  description = "ARN of the state machine that hands on dead letters."
  value       = aws_sfn_state_machine.this.arn
}
