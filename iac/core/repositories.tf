resource "aws_ecr_repository" "model" {
  for_each             = local.names.repositories
  name                 = each.value
  image_tag_mutability = "IMMUTABLE"
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.data.arn
  }
  image_scanning_configuration {
    scan_on_push = true
  }
}
