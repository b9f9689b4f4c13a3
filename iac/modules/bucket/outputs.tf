output "name" {
  description = "Name of the bucket, known once it is versioned, encrypted and closed to the public."
  value       = aws_s3_bucket.this.id
  depends_on = [
    aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_policy.this,
    aws_s3_bucket_object_lock_configuration.this,
  ]
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "retention_days" {
  description = "Days of governance retention that a written object is under; null without object lock."
  value       = one(aws_s3_bucket_object_lock_configuration.this[*].rule[0].default_retention[0].days)
}
