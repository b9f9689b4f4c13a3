output "role_arn" {
  description = "ARN of the role that the endpoint's containers run with."
  value       = module.role.arn
}

output "alarm_names" {
  description = "Names of the alarms that a release watches."
  value       = [aws_cloudwatch_metric_alarm.errors.alarm_name, aws_cloudwatch_metric_alarm.latency.alarm_name]
}

output "golden_uri" {
  description = "S3 URI of the model's configuration, which holds the golden requests."
  value       = "s3://${aws_s3_object.model.bucket}/${aws_s3_object.model.key}"
}
