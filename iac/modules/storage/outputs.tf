output "data_bucket" {
  description = "Name of the data bucket, known once it is versioned, encrypted and closed to the public."
  value       = aws_s3_bucket.this["data"].id
  depends_on  = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_policy.this]
}

output "models_bucket" {
  description = "Name of the models bucket, known once it is versioned, encrypted and closed to the public."
  value       = aws_s3_bucket.this["models"].id
  depends_on  = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_policy.this]
}

output "logs_bucket" {
  description = "Name of the logs bucket, known once the trail may write to it."
  value       = aws_s3_bucket.this["logs"].id
  depends_on  = [aws_s3_bucket_policy.this]
}
