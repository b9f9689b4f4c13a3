module "role" {
  source       = "../role"
  for_each     = local.functions
  name         = each.value
  service      = "lambda"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "What the function ${each.value} may do."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${local.aws.logs}:log-group:/aws/lambda/${each.value}:*"
        },
        {
          # Its own variables are encrypted, and so is what it reads.
          Sid      = "Decrypt"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = var.kms_key_arn
        },
        {
          # AWS makes no function with a dead-letter queue that its role may not write to.
          Sid      = "KeepFailures"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = var.dead_letters_queue_arn
        },
        {
          # These actions have no resource type.
          Sid      = "Trace"
          Effect   = "Allow"
          Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
          Resource = "*"
        },
      ],
      jsondecode(var.vpc == null ? "[]" : var.vpc.role_statements),
      [for statement in [local.encrypt] : statement if contains(local.writers, each.key)],
      local.statements[each.key],
    )
  })
}
