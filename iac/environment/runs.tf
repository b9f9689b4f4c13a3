# The register of runs: who claimed which dataset, and how it went. It lives where models are retrained.
resource "aws_dynamodb_table" "runs" {
  count        = local.retrains ? 1 : 0
  name         = local.names.runs_table
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "run_id"

  attribute {
    name = "run_id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = local.core.data_kms_key_arn
  }
}
