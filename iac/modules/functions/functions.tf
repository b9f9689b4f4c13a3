locals {
  # Time-out in seconds and memory in MB. A dataset or an artefact passes through validate, authorise and judge.
  sizes = {
    claim       = { timeout_s = 30, memory_mb = 256 }
    validate    = { timeout_s = 900, memory_mb = 512 }
    judge       = { timeout_s = 300, memory_mb = 512 }
    open_gate   = { timeout_s = 30, memory_mb = 256 }
    answer_gate = { timeout_s = 30, memory_mb = 256 }
    authorise   = { timeout_s = 300, memory_mb = 512 }
    deploy      = { timeout_s = 60, memory_mb = 256 }
    smoke       = { timeout_s = 120, memory_mb = 256 }
    scale       = { timeout_s = 60, memory_mb = 256 }
    rollback    = { timeout_s = 60, memory_mb = 256 }
    record      = { timeout_s = 60, memory_mb = 256 }
    note_plans  = { timeout_s = 300, memory_mb = 256 }
    expire      = { timeout_s = 300, memory_mb = 256 }
    reconcile   = { timeout_s = 110, memory_mb = 256 }
  }

  functions = { for handler in var.handlers : handler => var.names.functions[handler] }
}

# By way of S3: the provider uploads files one function after the other, five seconds each.
resource "aws_s3_object" "package" {
  bucket       = var.package_bucket
  key          = "functions/package.zip"
  source       = var.package
  source_hash  = filesha256(var.package)
  content_type = "application/zip"
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = local.functions
  name              = "/aws/lambda/${each.value}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "this" {
  for_each          = local.functions
  function_name     = each.value
  role              = module.role[each.key].arn
  handler           = "pipeline.lambdas.${each.key}.handler"
  runtime           = "python3.13"
  architectures     = ["x86_64"]
  s3_bucket         = aws_s3_object.package.bucket
  s3_key            = aws_s3_object.package.key
  s3_object_version = aws_s3_object.package.version_id
  source_code_hash  = filebase64sha256(var.package)
  timeout           = local.sizes[each.key].timeout_s
  memory_size       = local.sizes[each.key].memory_mb
  # So many at a time: what runs away leaves the account's concurrency to the others.
  reserved_concurrent_executions = var.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = {
      PROJECT           = var.project
      ENVIRONMENT       = var.environment
      RUNS_TABLE        = var.runs.runs_table
      DATA_BUCKET       = var.names.data_bucket
      MODELS_BUCKET     = var.names.models_bucket
      LEDGER_BUCKET     = var.ledger_bucket
      STATE_BUCKET      = var.state.bucket
      APPROVAL_KEY_ID   = var.approval_key_arn
      APPROVAL_REQUIRED = tostring(var.approval_required)
      COMMIT            = var.commit
    }
  }

  # The event of a function that was called asynchronously and failed to the end.
  dead_letter_config {
    target_arn = var.dead_letters_queue_arn
  }

  tracing_config {
    mode = "Active"
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  depends_on = [aws_cloudwatch_log_group.this]
}
