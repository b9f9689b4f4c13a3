module "role" {
  source       = "../role"
  name         = var.role_name
  service      = "cloudtrail"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "Writes what the trail ${var.name} records into its log group."
  source_arns  = [local.trail_arn]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # CloudTrail names its streams itself: <account>_CloudTrail_<region>, perhaps with a number.
      Sid      = "WriteRecords"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:${var.context.partition}:logs:${var.context.region}:${var.context.account_id}:log-group:${var.log_group}:log-stream:${var.context.account_id}_CloudTrail_${var.context.region}*"
    }]
  })
}
