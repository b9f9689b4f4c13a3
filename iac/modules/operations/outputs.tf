output "alerts_topic_arn" {
  description = "ARN of the topic that alarms of this environment act on."
  value       = aws_sns_topic.alerts.arn
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
