# What exists once per environment, and once per model in it. A role bears the name of what it acts for.
locals {
  handlers = ["claim", "validate", "judge", "open_gate", "answer_gate", "authorise", "deploy", "smoke", "scale", "rollback", "record", "note_plans", "expire", "reconcile"]

  # Null interpolates to an error, so an absent environment is written as "none" and never put out.
  prefix = "${var.project}-${coalesce(var.environment, "none")}"

  environment = {
    prefix             = local.prefix
    data_bucket        = "${local.prefix}-data-${var.account_id}"
    models_bucket      = "${local.prefix}-models-${var.account_id}"
    logs_bucket        = "${local.prefix}-logs-${var.account_id}"
    runs_table         = "${local.prefix}-runs"
    network            = "${local.prefix}-network"
    trail              = "${local.prefix}-audit"
    dead_letters_queue = "${local.prefix}-dead-letters"
    dead_letters_alarm = "${local.prefix}-dead-letters"
    alerts_topic       = "${local.prefix}-alerts"
    dashboard          = "${local.prefix}-overview"
    budget             = "${local.prefix}-monthly"
    expiry_rule        = "${local.prefix}-expiry"
    records_rule       = "${local.prefix}-records"
    catch_up_rule      = "${local.prefix}-catch-up"
    reconciler_rule    = "${local.prefix}-reconciler"
    redrive            = "${local.prefix}-redrive"
    trail_log_group    = "/aws/cloudtrail/${local.prefix}-audit"
    trail_topic        = "${local.prefix}-audit"
    trail_role         = "${local.prefix}-audit"
    function_alarms    = { for handler in local.handlers : handler => "${local.prefix}-${replace(handler, "_", "-")}-errors" }
    functions          = { for handler in local.handlers : handler => "${local.prefix}-${replace(handler, "_", "-")}" }
    models = {
      for model in var.models : model => {
        endpoint                 = "${local.prefix}-${model}"
        model_package_group      = "${local.prefix}-${model}"
        retraining_state_machine = "${local.prefix}-retraining-${model}"
        release_state_machine    = "${local.prefix}-release-${model}"
        training_role            = "${local.prefix}-training-${model}"
        processing_role          = "${local.prefix}-processing-${model}"
        serving_role             = "${local.prefix}-serving-${model}"
        upload_rule              = "${local.prefix}-upload-${model}"
        upload_trail_rule        = "${local.prefix}-upload-trail-${model}"
        answer_rule              = "${local.prefix}-answer-${model}"
        approval_rule            = "${local.prefix}-approval-${model}"
        errors_alarm             = "${local.prefix}-${model}-5xx"
        latency_alarm            = "${local.prefix}-${model}-latency"
        refusals_alarm           = "${local.prefix}-${model}-4xx"
        silence_alarm            = "${local.prefix}-${model}-silence"
        retraining_alarm         = "${local.prefix}-${model}-retraining"
        release_alarm            = "${local.prefix}-${model}-release"
        dataset_prefix           = "datasets/${model}/"
      }
    }
  }
}
