mock_provider "aws" {
  source = "../../testing"
}

variables {
  name                   = "mlops-staging-data-123456789012"
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  access_logs_bucket     = "mlops-access-logs-123456789012"
  noncurrent_expiry_days = 365
}

run "a_bucket_without_a_key_is_refused" {
  command = plan

  variables {
    kms_key_arn = null
  }

  expect_failures = [var.kms_key_arn]
}

run "plain_http_is_refused_to_everyone" {
  assert {
    condition = jsondecode(aws_s3_bucket_policy.this.policy).Statement == [{
      Sid       = "DenyPlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::mock", "arn:aws:s3:::mock/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
    error_message = "Nobody may reach the bucket or its objects without TLS."
  }
}

run "a_bucket_is_versioned_encrypted_and_closed" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "A run points at versions: the bucket must be versioned."
  }
  assert {
    condition = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default == tolist([{
      sse_algorithm = "aws:kms", kms_master_key_id = var.kms_key_arn
    }])
    error_message = "Objects must be encrypted with the given key."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "No part of the bucket may be public."
  }
}

run "accesses_are_logged_below_the_buckets_name" {
  command = plan

  assert {
    condition = (
      one(aws_s3_bucket_logging.this).target_bucket == "mlops-access-logs-123456789012" &&
      one(aws_s3_bucket_logging.this).target_prefix == "mlops-staging-data-123456789012/"
    )
    error_message = "Accesses must be logged to the given bucket, each bucket's apart."
  }
}

run "what_nobody_needs_goes" {
  command = plan

  assert {
    condition = (
      [for rule in aws_s3_bucket.this.lifecycle_rule : rule.id] == ["unfinished-uploads", "noncurrent-versions"] &&
      aws_s3_bucket.this.lifecycle_rule[1].noncurrent_version_expiration[0].days == 365
    )
    error_message = "Unfinished uploads and old versions must go, and nothing else."
  }
}

run "locked_objects_are_kept" {
  command = plan

  variables {
    retention_days         = 30
    noncurrent_expiry_days = null
  }

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && output.retention_days == 30
    error_message = "Object lock must be on, with the retention by default."
  }
}

run "a_statement_is_added" {
  command = plan

  variables {
    statements = [{ Sid = "Logs", Effect = "Allow", Principal = { Service = "logging.s3.amazonaws.com" }, Action = "s3:PutObject", Resource = "*" }]
  }

  override_resource {
    target          = aws_s3_bucket.this
    override_during = plan
    values          = { arn = "arn:aws:s3:::mock" }
  }

  assert {
    condition     = [for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Sid] == ["DenyPlainHttp", "Logs"]
    error_message = "Further statements stand beside the refusal of plain HTTP, not in its place."
  }
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}

run "a_bucket_that_logs_to_itself_is_refused" {
  command = plan

  variables {
    access_logs_bucket = "mlops-staging-data-123456789012"
  }

  expect_failures = [var.access_logs_bucket]
}

run "what_is_short_lived_goes_for_good" {
  command = plan

  variables {
    short_lived = { "plans/" = 7 }
  }

  assert {
    condition = one([
      for rule in aws_s3_bucket.this.lifecycle_rule : [rule.prefix, rule.expiration[0].days, rule.noncurrent_version_expiration[0].days]
      if rule.id == "short-lived-plans"
    ]) == ["plans/", 7, 1]
    error_message = "Objects and their older versions below the prefix are removed."
  }
}

run "a_prefix_that_is_none_is_refused" {
  command = plan

  variables {
    short_lived = { "plans" = 7 }
  }

  expect_failures = [var.short_lived]
}

run "an_upper_case_name_is_refused" {
  command = plan

  variables {
    name = "Data"
  }

  expect_failures = [var.name]
}
