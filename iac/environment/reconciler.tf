# Uploads that no event reported: every two minutes a function looks for versions that are older than the grace and have no
# run, and starts them. It needs no role for that: the function's own policy lets the rule in.
resource "aws_cloudwatch_event_rule" "reconciler" {
  count               = local.retrains ? 1 : 0
  name                = local.names.reconciler_rule
  description         = "Starts the uploads that no event reported."
  schedule_expression = "rate(2 minutes)"
}

resource "aws_cloudwatch_event_target" "reconciler" {
  count     = local.retrains ? 1 : 0
  rule      = aws_cloudwatch_event_rule.reconciler[0].name
  target_id = "reconcile"
  arn       = module.functions.arns["reconcile"]
  input = jsonencode({
    grace_s    = 120   # within which the events of an upload come by themselves
    lookback_s = 86400 # what is older than that and has no run, a person uploads again
    routes = {
      for model, retraining in module.retraining :
      model => { prefix = local.names.models[model].dataset_prefix, state_machine_arn = retraining.state_machine_arn }
    }
  })
  dead_letter_config {
    arn = local.dead_letters_queue_arn
  }
  # The next round comes by itself.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

resource "aws_lambda_permission" "reconciler" {
  count          = local.retrains ? 1 : 0
  statement_id   = "Reconciler"
  action         = "lambda:InvokeFunction"
  function_name  = module.functions.arns["reconcile"]
  principal      = "events.amazonaws.com"
  source_arn     = aws_cloudwatch_event_rule.reconciler[0].arn
  source_account = local.context.account_id
}
