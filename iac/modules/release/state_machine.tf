resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/vendedlogs/states/${var.names.release_state_machine}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_sfn_state_machine" "this" {
  name     = var.names.release_state_machine
  role_arn = module.role.arn
  definition = templatefile("${path.module}/release.asl.json.tftpl", {
    project                = var.project
    environment            = var.environment
    model                  = var.model
    endpoint_name          = var.names.endpoint
    authorise_function_arn = var.function_arns["authorise"]
    deploy_function_arn    = var.function_arns["deploy"]
    smoke_function_arn     = var.function_arns["smoke"]
    scale_function_arn     = var.function_arns["scale"]
    rollback_function_arn  = var.function_arns["rollback"]
    record_function_arn    = var.function_arns["record"]
    serving_json           = jsonencode(var.serving)
    golden_uri             = var.golden_uri
    timeout_s              = var.timeout_s
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
