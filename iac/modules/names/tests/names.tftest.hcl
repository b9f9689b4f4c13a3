variables {
  project     = "mlops"
  account_id  = "123456789012"
  environment = "staging"
  models      = ["iris", "churn-eu"]
}

run "names_are_composed_of_project_environment_and_component" {
  command = plan

  assert {
    condition     = output.environment.data_bucket == "mlops-staging-data-123456789012"
    error_message = "A bucket's name ends with the account: bucket names are global."
  }
  assert {
    condition     = output.environment.models["churn-eu"].retraining_state_machine == "mlops-staging-retraining-churn-eu"
    error_message = "A model's resource is named <project>-<environment>-<component>-<model>."
  }
  assert {
    condition     = output.environment.functions["open_gate"] == "mlops-staging-open-gate"
    error_message = "A function is named after its handler, with hyphens."
  }
  assert {
    condition     = output.account.repositories == { iris = "mlops-iris", churn-eu = "mlops-churn-eu" }
    error_message = "There is one repository per model."
  }
}

run "no_name_is_given_twice" {
  command = plan

  assert {
    condition = length(distinct(flatten([for model in output.environment.models : [
      model.training_role, model.processing_role, model.serving_role, model.retraining_state_machine,
      model.release_state_machine, model.upload_rule, model.answer_rule, model.approval_rule,
    ]]))) == 16
    error_message = "Two roles of the environment would have one name."
  }
}

run "the_longest_names_fit" {
  command = plan

  variables {
    project     = "abcdefghijkl"
    environment = "production"
    models      = ["abcdefghijklmnopqrst"]
  }

  assert {
    condition = alltrue([
      for name in flatten([values(output.environment.functions), [for model in output.environment.models : values(model)]]) :
      length(name) <= 63
    ])
    error_message = "IAM roles have at most 64 characters, SageMaker names and rules at most 63."
  }
  assert {
    condition     = length(output.environment.models_bucket) <= 63
    error_message = "A bucket name has at most 63 characters."
  }
}

run "without_an_environment_there_are_account_names_only" {
  command = plan

  variables {
    environment = null
  }

  assert {
    condition     = output.environment == null && output.account.state_bucket == "mlops-tfstate-123456789012"
    error_message = "The account's names do not depend on an environment."
  }
}

run "an_upper_case_model_is_refused" {
  command = plan

  variables {
    models = ["Iris"]
  }

  expect_failures = [var.models]
}

run "a_project_that_reads_like_another_ones_environment_is_refused" {
  command = plan

  variables {
    project = "ml-staging"
  }

  expect_failures = [var.project]
}

run "an_unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "prod"
  }

  expect_failures = [var.environment]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
}
