output "rule_arns" {
  description = "ARNs of the two rules, by route (s3, cloudtrail)."
  value = {
    s3         = aws_cloudwatch_event_rule.s3.arn
    cloudtrail = aws_cloudwatch_event_rule.trail.arn
  }
}
