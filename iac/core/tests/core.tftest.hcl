mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
  mock_data "aws_kms_alias" {
    defaults = { target_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mock" }
  }
}

variables {
  models = ["iris", "churn"]
}

run "each_model_has_a_repository_whose_tags_cannot_move" {
  command = plan

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.model : repository.image_tag_mutability == "IMMUTABLE"])
    error_message = "Tags must be immutable."
  }
  assert {
    condition     = keys(aws_ecr_repository.model) == ["churn", "iris"]
    error_message = "There is one repository per model."
  }
}

run "the_ledger_is_locked" {
  command = plan

  assert {
    condition     = aws_s3_bucket.ledger.object_lock_enabled && aws_s3_bucket_object_lock_configuration.ledger.rule[0].default_retention[0].mode == "GOVERNANCE"
    error_message = "The ledger's objects must be under retention."
  }
}
