# SageMaker would make this group itself, without retention or key.
resource "aws_cloudwatch_log_group" "endpoint" {
  name              = "/aws/sagemaker/Endpoints/${var.names.endpoint}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
