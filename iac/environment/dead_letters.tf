# Events that EventBridge could not deliver. One queue serves all rules: a message names its rule and target.
resource "aws_sqs_queue" "dead_letters" {
  name                      = local.names.dead_letters_queue
  message_retention_seconds = 1209600 # 14 days, the longest there is
  kms_master_key_id         = local.core.data_kms_key_arn
  # Inline: a policy of its own would double the provider's wait.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RulesOfThisEnvironment"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.dead_letters_queue_arn
        Condition = { ArnLike = {
          "aws:SourceArn" = "arn:${local.context.partition}:events:${local.context.region}:${local.context.account_id}:rule/${local.names.prefix}-*"
        } }
      },
      {
        Sid       = "DenyPlainHttp"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "sqs:*"
        Resource  = local.dead_letters_queue_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# `mlops redrive` hands them on, by this machine.
module "redrive" {
  source      = "../modules/redrive"
  context     = local.context
  environment = var.environment
  name        = local.names.redrive
  queue = {
    arn = local.dead_letters_queue_arn
    url = "https://sqs.${local.context.region}.amazonaws.com/${local.context.account_id}/${local.names.dead_letters_queue}"
  }
  state_machine_arns       = [for machine in local.retrains ? module.retraining : module.release : machine.state_machine_arn]
  answer_gate_function_arn = local.retrains ? module.functions.arns["answer_gate"] : null
  note_plans_function_arn  = local.retrains ? module.functions.arns["note_plans"] : null
  kms_key_arn              = local.core.data_kms_key_arn
  log_retention_days       = var.log_retention_days
}

# Composed, so that a plan knows the policies that name it and can be judged, and that nothing waits 25 s for the queue.
locals {
  dead_letters_queue_arn = "arn:${local.context.partition}:sqs:${local.context.region}:${local.context.account_id}:${local.names.dead_letters_queue}"
}
