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

run "a_person_bears_the_users_name" {
  command = plan

  assert {
    condition = alltrue([
      for role in [aws_iam_role.approver, aws_iam_role.data_scientist] :
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["sts:RoleSessionName"] == "$${aws:username}"
    ])
    error_message = "A session whose name can be chosen could approve its own work."
  }
}

run "only_the_approver_signs" {
  command = plan

  assert {
    condition = one([
      for statement in jsondecode(aws_kms_key.approval.policy).Statement : statement if statement.Effect == "Deny"
      ]) == {
      Sid       = "OnlyApproversSign"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "kms:Sign"
      Resource  = "*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = "arn:aws:iam::123456789012:role/mlops-approver" } }
    }
    error_message = "The approval key must refuse everyone but the approver role."
  }
}

run "the_ledger_is_locked" {
  command = plan

  assert {
    condition     = aws_s3_bucket.ledger.object_lock_enabled && aws_s3_bucket_object_lock_configuration.ledger.rule[0].default_retention[0].mode == "GOVERNANCE"
    error_message = "The ledger's objects must be under retention."
  }
}
