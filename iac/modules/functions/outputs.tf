output "arns" {
  description = "ARN of each function, by handler."
  value       = { for handler, function in aws_lambda_function.this : handler => function.arn }
}
