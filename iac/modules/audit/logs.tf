# To search and to alarm upon. The proof is in the bucket: the files there have digests.
resource "aws_cloudwatch_log_group" "trail" {
  name              = var.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
