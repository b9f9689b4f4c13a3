# Run with TF_WORKSPACE=staging: the variables are held against the workspace.
mock_provider "aws" {
  source = "../testing"
}

override_data {
  target = data.terraform_remote_state.core
  values = {
    outputs = {
      data_kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
      approval_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111"
      ledger_bucket    = "mlops-ledger-123456789012"
    }
  }
}

variables {
  environment    = "staging"
  state_bucket   = "mlops-tfstate-123456789012"
  lambda_package = "outputs.tf" # any file: nothing is uploaded
  commit         = "abcdef1"
  models         = { iris = {} }
  images = {
    iris = {
      training = "registry.example/mlops-iris@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      serving  = "registry.example/mlops-iris@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    }
  }
}

run "staging_retrains" {
  command = apply

  assert {
    condition     = keys(module.retraining) == ["iris"] && output.pipeline.models.iris.dataset_prefix == "datasets/iris/"
    error_message = "Where nothing is promoted from elsewhere, datasets start runs."
  }
  assert {
    condition     = length(module.functions.arns) == 13
    error_message = "Staging has every function."
  }
}

run "three_models_are_three_entries_of_a_map" {
  command = apply

  variables {
    models = { iris = {}, diabetes = { serving = { instance_count = 3 } }, penguins = { approval_timeout_s = 600 } }
    images = {
      for model in ["iris", "diabetes", "penguins"] :
      model => {
        training = "registry.example/mlops-${model}@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        serving  = "registry.example/mlops-${model}@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
      }
    }
  }

  assert {
    condition     = output.pipeline.models.diabetes.endpoint_name == "mlops-staging-diabetes" && length(module.trigger) == 3
    error_message = "Each model has an endpoint name and a trigger of its own."
  }
  assert {
    condition     = output.endpoint_instances.diabetes == { instance_type = "ml.m5.large", instance_count = 3 }
    error_message = "What a release runs is told, for the cost of a plan."
  }
}

run "another_environments_variables_are_refused" {
  command = plan

  variables {
    environment   = "production"
    promotes_from = "staging"
  }

  expect_failures = [var.environment]
}

run "a_model_without_an_image_is_refused" {
  command = plan

  variables {
    images = {}
  }

  expect_failures = [var.images]
}

run "a_tagged_image_is_refused" {
  command = plan

  variables {
    images = { iris = { training = "registry.example/mlops-iris:latest", serving = "registry.example/mlops-iris@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" } }
  }

  expect_failures = [var.images]
}

run "a_canary_of_one_instance_is_refused" {
  command = plan

  variables {
    models = { iris = { serving = { instance_count = 1, traffic = { type = "CANARY", size_percent = 50, wait_s = 60 } } } }
  }

  expect_failures = [var.models]
}

run "a_canary_that_may_scale_down_to_one_instance_is_refused" {
  command = plan

  variables {
    models = { iris = { serving = {
      instance_count = 2, traffic = { type = "CANARY", size_percent = 50, wait_s = 60 }
      autoscaling    = { min_instances = 1, max_instances = 4, invocations_per_instance = 1000 }
    } } }
  }

  expect_failures = [var.models]
}

run "a_start_outside_the_bounds_of_scaling_is_refused" {
  command = plan

  variables {
    models = { iris = { serving = { instance_count = 5, autoscaling = { min_instances = 2, max_instances = 4, invocations_per_instance = 1000 } } } }
  }

  expect_failures = [var.models]
}

run "fewer_instances_than_the_environment_wants_are_refused" {
  command = plan

  variables {
    minimum_instances = 2
    models            = { iris = { serving = { instance_count = 1 } } }
  }

  expect_failures = [var.models]
}

run "our_key_on_a_gpu_instance_with_local_disks_is_refused" {
  command = plan

  variables {
    models = { iris = { training = { instance_type = "ml.g5.xlarge" } } }
  }

  expect_failures = [var.models]
}

run "a_gpu_instance_without_our_key_trains" {
  command = apply

  variables {
    models = { iris = { training = { instance_type = "ml.g5.xlarge", encrypt_volume = false }, serving = { instance_type = "ml.p3.2xlarge" } } }
  }

  assert {
    condition     = length(module.network[0].workloads.subnet_ids) == 2
    error_message = "Jobs and endpoints run in two zones unless said otherwise."
  }
}

run "a_network_may_be_left_out" {
  command = plan

  variables {
    network = { enabled = false }
  }

  assert {
    condition     = length(module.network) == 0
    error_message = "Without a network nothing of it is made."
  }
}

run "what_no_event_reports_is_looked_for_where_datasets_arrive" {
  command = apply

  assert {
    condition     = jsondecode(aws_cloudwatch_event_target.reconciler[0].input).routes["iris"].prefix == "datasets/iris/"
    error_message = "The schedule tells the function where datasets arrive."
  }
  assert {
    condition     = aws_lambda_permission.reconciler[0].source_arn == aws_cloudwatch_event_rule.reconciler[0].arn
    error_message = "This rule alone may call the function."
  }
}

run "what_is_released_expires_where_it_may" {
  command = apply

  variables {
    ttl_hours = 72
  }

  assert {
    condition     = length(module.expiry) == 1 && contains(keys(module.functions.arns), "expire")
    error_message = "A time-to-live comes with its schedule and its function."
  }
}
