module "role" {
  source       = "../role"
  name         = var.name
  service      = "states"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "What handing on dead letters of ${var.environment} takes."
  source_arns  = ["arn:${var.context.partition}:states:${var.context.region}:${var.context.account_id}:stateMachine:${var.name}"]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "TakeDeadLetters"
          Effect   = "Allow"
          Action   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
          Resource = var.queue.arn
        },
        {
          Sid      = "ReadThem"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = var.kms_key_arn
        },
        {
          Sid      = "StartWhatWasMeant"
          Effect   = "Allow"
          Action   = ["states:StartExecution"]
          Resource = sort(var.state_machine_arns)
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
      ],
      [for arn in var.answer_gate_function_arn[*] : {
        Sid      = "AnswerGates"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = arn
      }],
    )
  })
}
