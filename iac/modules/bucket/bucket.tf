# The lifecycle stands in the bucket, which the provider calls deprecated: its own resource takes 55 s, always, since it looks
# ten times at what it has written (docs/surprises.md). The provider is pinned; the day the argument goes, this is its one place.
resource "aws_s3_bucket" "this" {
  bucket              = var.name
  object_lock_enabled = var.retention_days != null

  lifecycle_rule {
    id                                     = "unfinished-uploads"
    enabled                                = true
    abort_incomplete_multipart_upload_days = 7
  }

  dynamic "lifecycle_rule" {
    for_each = var.noncurrent_expiry_days[*]
    content {
      id      = "noncurrent-versions"
      enabled = true
      noncurrent_version_expiration {
        days = lifecycle_rule.value
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.expiry_days[*]
    content {
      id      = "expiry"
      enabled = true
      expiration {
        days = lifecycle_rule.value
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.short_lived
    content {
      id      = "short-lived-${trimsuffix(lifecycle_rule.key, "/")}"
      enabled = true
      prefix  = lifecycle_rule.key
      expiration {
        days = lifecycle_rule.value
      }
      noncurrent_version_expiration {
        days = 1
      }
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count  = var.retention_days == null ? 0 : 1
  bucket = aws_s3_bucket.this.id
  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.retention_days
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    bucket_key_enabled = !var.s3_keys
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.s3_keys ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "DenyPlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
      var.statements,
    )
  })
  # A policy that is put while public access is being blocked may be refused.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

# Every write is an event; what nobody has a rule for costs nothing and goes nowhere.
resource "aws_s3_bucket_notification" "this" {
  bucket      = aws_s3_bucket.this.id
  eventbridge = true
}

resource "aws_s3_bucket_logging" "this" {
  count         = var.access_logs_bucket == null ? 0 : 1
  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_logs_bucket
  target_prefix = "${var.name}/"
}
