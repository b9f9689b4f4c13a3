mock_provider "aws" {
  source = "../testing"
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
    condition     = module.ledger_bucket.retention_days == 365
    error_message = "The ledger's objects must be under retention."
  }
}
