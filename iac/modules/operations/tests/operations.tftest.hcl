mock_provider "aws" {
  source = "../../testing"
}

variables {
  context     = { partition = "aws", region = "us-east-1", account_id = "123456789012" }
  environment = "staging"
  retrains    = true
  names = {
    alerts_topic       = "mlops-staging-alerts"
    dashboard          = "mlops-staging-overview"
    budget             = "mlops-staging-monthly"
    dead_letters_queue = "mlops-staging-dead-letters"
    dead_letters_alarm = "mlops-staging-dead-letters"
    function_alarms    = { deploy = "mlops-staging-deploy-errors", smoke = "mlops-staging-smoke-errors" }
    models = {
      for model in ["iris", "penguins"] : model => {
        endpoint                 = "mlops-staging-${model}"
        release_state_machine    = "mlops-staging-release-${model}"
        retraining_state_machine = "mlops-staging-retraining-${model}"
        release_alarm            = "mlops-staging-${model}-release"
        retraining_alarm         = "mlops-staging-${model}-retraining"
      }
    }
  }
  variant_names      = { iris = "primary", penguins = "blue" }
  function_names     = { deploy = "mlops-staging-deploy", smoke = "mlops-staging-smoke" }
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  monthly_budget_usd = 300
}

run "every_alarm_acts_on_the_topic" {
  command = apply

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.executions), values(aws_cloudwatch_metric_alarm.functions), [aws_cloudwatch_metric_alarm.dead_letters]) :
      alarm.alarm_actions == toset([aws_sns_topic.alerts.arn]) && alarm.treat_missing_data == "missing"
    ])
    error_message = "An alarm that tells nobody is none, and missing data is not health."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.executions) == 4 && length(aws_cloudwatch_metric_alarm.functions) == 2
    error_message = "Each state machine and each function has an alarm."
  }
}

run "an_environment_that_does_not_retrain_has_no_alarm_on_retraining" {
  command = apply

  variables {
    retrains = false
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.executions) == ["mlops-staging-iris-release", "mlops-staging-penguins-release"]
    error_message = "There are no retraining state machines to watch."
  }
}

run "the_topic_is_encrypted_and_takes_no_plain_http" {
  command = apply

  assert {
    condition     = aws_sns_topic.alerts.kms_master_key_id == var.kms_key_arn
    error_message = "The topic is encrypted with the given key."
  }
  assert {
    condition = anytrue([
      for statement in jsondecode(aws_sns_topic_policy.alerts.policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])
    error_message = "Publishing over plain HTTP is denied."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_sns_topic_policy.alerts.policy).Statement :
      statement.Effect == "Deny" || try(statement.Condition.StringEquals["aws:SourceAccount"], "") == "123456789012"
    ])
    error_message = "Services publish on behalf of this account only."
  }
}

run "the_dashboard_shows_latency_invocations_errors_cpu_and_memory_of_every_model" {
  command = apply

  assert {
    condition = alltrue([
      for pair in setproduct(["iris", "penguins"], ["Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency", "CPUUtilization", "MemoryUtilization"]) :
      anytrue(flatten([
        for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
          for metric in widget.properties.metrics :
          contains(metric, pair[1]) && contains(metric, "mlops-staging-${pair[0]}") && contains(metric, var.variant_names[pair[0]])
        ]
      ]))
    ])
    error_message = "A model's metric is missing from the dashboard."
  }
  assert {
    condition = length(distinct([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [widget.x, widget.y]
    ])) == 10
    error_message = "No widget lies on another."
  }
}

run "the_budget_counts_its_environment_from_a_fixed_day" {
  command = apply

  assert {
    condition     = one(aws_budgets_budget.monthly[0].cost_filter).values == tolist(["user:Environment$staging"])
    error_message = "The budget counts what bears the environment's tag."
  }
  assert {
    condition     = aws_budgets_budget.monthly[0].time_period_start == "2026-01-01_00:00"
    error_message = "A start that is left out moves with the month of the apply."
  }
}

run "no_budget_where_none_is_wanted" {
  command = apply

  variables {
    monthly_budget_usd = null
  }

  assert {
    condition     = length(aws_budgets_budget.monthly) == 0
    error_message = "Null means no budget."
  }
}

run "what_is_no_mail_address_is_refused" {
  command = plan

  variables {
    alert_emails = ["oncall"]
  }

  expect_failures = [var.alert_emails]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
