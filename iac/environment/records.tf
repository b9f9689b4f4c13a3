# Who plans, approves and applies leaves records in the state's bucket, and may not write the ledger. A function of the environment
# that retrains, with a role that may append to it, enters them: when S3 tells of one, and every hour whatever was told.
locals {
  record_events = {
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [var.state_bucket] }
      object = { key = [
        { suffix = "/manifest.json" }, { prefix = "approvals/" }, { prefix = "rejections/" }, { prefix = "applied/" }, { prefix = "ended/" },
      ] }
    }
  }

  record_rules = { for name, rule in {
    records  = { name = local.names.records_rule, pattern = jsonencode(local.record_events), schedule = null, what = "Somebody planned, answered or applied." }
    catch_up = { name = local.names.catch_up_rule, pattern = null, schedule = "rate(1 hour)", what = "Enters what no event told of." }
  } : name => rule if local.retrains }
}

resource "aws_cloudwatch_event_rule" "records" {
  for_each            = local.record_rules
  name                = each.value.name
  description         = each.value.what
  event_pattern       = each.value.pattern
  schedule_expression = each.value.schedule
}

resource "aws_cloudwatch_event_target" "records" {
  for_each  = aws_cloudwatch_event_rule.records
  rule      = each.value.name
  target_id = "note-plans"
  arn       = module.functions.arns["note_plans"]
  # What woke it up does not matter, so it is not told.
  input = jsonencode({})
  dead_letter_config {
    arn = local.dead_letters_queue_arn
  }
  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }
}

resource "aws_lambda_permission" "records" {
  for_each       = aws_cloudwatch_event_rule.records
  statement_id   = "Records-${each.key}"
  action         = "lambda:InvokeFunction"
  function_name  = module.functions.arns["note_plans"]
  principal      = "events.amazonaws.com"
  source_arn     = each.value.arn
  source_account = local.context.account_id
}
