resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_sfn_state_machine" "this" {
  name     = var.name
  role_arn = module.role.arn
  definition = templatefile("${path.module}/redrive.asl.json.tftpl", {
    environment              = var.environment
    queue_url                = var.queue.url
    answer_gate_function_arn = coalesce(var.answer_gate_function_arn, "none")
    note_plans_function_arn  = coalesce(var.note_plans_function_arn, "none")
  })
  logging_configuration {
    level                  = "ALL"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }
  tracing_configuration {
    enabled = true
  }
}
