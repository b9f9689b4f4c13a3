module "role" {
  source       = "../role"
  name         = var.names.release_state_machine
  service      = "states"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "What the release state machine of ${var.model} may do."
  source_arns  = ["arn:${var.context.partition}:states:${var.context.region}:${var.context.account_id}:stateMachine:${var.names.release_state_machine}"]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "CallFunctions"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = [for handler in ["authorise", "deploy", "rollback", "record", "scale", "smoke"] : var.function_arns[handler]]
      },
      {
        Sid      = "WatchTheEndpoint"
        Effect   = "Allow"
        Action   = ["sagemaker:DescribeEndpoint"]
        Resource = "arn:${var.context.partition}:sagemaker:${var.context.region}:${var.context.account_id}:endpoint/${var.names.endpoint}"
      },
      {
        # These actions have no resource type.
        Sid      = "Trace"
        Effect   = "Allow"
        Action   = ["xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]
        Resource = "*"
      },
      {
        # Vended logs: these actions have no resource type.
        Sid    = "DeliverLogs"
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
          "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ]
        Resource = "*"
      },
    ]
  })
}
