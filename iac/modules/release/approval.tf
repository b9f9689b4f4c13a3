# Where approvals_from is given, an approved model package starts the release.
resource "aws_cloudwatch_event_rule" "approval" {
  count       = var.approvals_from == null ? 0 : 1
  name        = var.names.approval_rule
  description = "A model package of ${coalesce(var.approvals_from, "none")} was approved."
  event_pattern = jsonencode({
    source      = ["aws.sagemaker"]
    detail-type = ["SageMaker Model Package State Change"]
    detail = {
      ModelPackageGroupName = [var.approvals_from]
      ModelApprovalStatus   = ["Approved"]
    }
  })
}

resource "aws_cloudwatch_event_target" "release" {
  count     = var.approvals_from == null ? 0 : 1
  rule      = aws_cloudwatch_event_rule.approval[0].name
  target_id = "release"
  arn       = aws_sfn_state_machine.this.arn
  role_arn  = module.approval_role[0].arn
  dead_letter_config {
    arn = var.dead_letters_queue_arn
  }
  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }
  input_transformer {
    input_paths    = { model_package_arn = "$.detail.ModelPackageArn" }
    input_template = <<-JSON
      {"model_package_arn": <model_package_arn>}
    JSON
  }
}

module "approval_role" {
  source       = "../role"
  count        = var.approvals_from == null ? 0 : 1
  name         = var.names.approval_rule
  service      = "events"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "Starts the release of ${var.model} when a model package was approved."
  source_arns  = [aws_cloudwatch_event_rule.approval[0].arn]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "StartRelease"
      Effect   = "Allow"
      Action   = ["states:StartExecution"]
      Resource = aws_sfn_state_machine.this.arn
    }]
  })
}
