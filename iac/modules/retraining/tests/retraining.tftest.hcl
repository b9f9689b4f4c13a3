mock_provider "aws" {
  source = "../../testing"
}

variables {
  context     = { partition = "aws", region = "us-east-1", account_id = "123456789012", boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary" }
  project     = "mlops"
  environment = "staging"
  model       = "iris"
  names = {
    retraining_state_machine = "mlops-staging-retraining-iris"
    release_state_machine    = "mlops-staging-release-iris"
    model_package_group      = "mlops-staging-iris"
    training_role            = "mlops-staging-training-iris"
    processing_role          = "mlops-staging-processing-iris"
    answer_rule              = "mlops-staging-answer-iris"
  }
  function_arns = {
    for handler in ["claim", "validate", "judge", "open_gate", "answer_gate", "record"] :
    handler => "arn:aws:lambda:us-east-1:123456789012:function:mlops-staging-${handler}"
  }
  images = {
    training = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    serving  = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
  }
  repository             = "mlops-iris"
  training               = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 3600 }
  evaluation             = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 1800 }
  approval_timeout_s     = 86400
  data_bucket            = "mlops-staging-data-123456789012"
  models_bucket          = "mlops-staging-models-123456789012"
  kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  commit                 = "abcdef1"
  alerts_topic_arn       = "arn:aws:sns:us-east-1:123456789012:mlops-staging-alerts"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-staging-dead-letters"
  log_retention_days     = 30
}

run "every_task_of_the_definition_has_a_time_out_and_a_way_out" {
  command = apply

  assert {
    condition = alltrue([
      for state in jsondecode(aws_sfn_state_machine.this.definition).States :
      state.Type != "Task" || can(state.Catch) && (can(state.TimeoutSeconds) || can(state.TimeoutSecondsPath))
    ])
    error_message = "A task without TimeoutSeconds waits for a year; one without Catch ends without a reason."
  }
}

run "nothing_of_the_waiting_task_reaches_the_log" {
  command = apply

  assert {
    condition = alltrue([
      for logging in aws_sfn_state_machine.this.logging_configuration : contains(["ERROR", "FATAL"], logging.level)
    ])
    error_message = "The data of the event that begins a wait holds the token that answers the gate."
  }
}

run "the_gate_hears_its_own_group_only" {
  command = apply

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.answer.event_pattern).detail.ModelPackageGroupName == ["mlops-staging-iris"]
    error_message = "Answers to another group's packages must not wake this model's runs."
  }
}

run "one_image_trains_and_the_other_is_judged_and_registered" {
  command = apply

  assert {
    condition = (
      jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.AlgorithmSpecification.TrainingImage == var.images.training
      && jsondecode(aws_sfn_state_machine.this.definition).States.Evaluate.Parameters.AppSpecification.ImageUri == var.images.serving
      && jsondecode(aws_sfn_state_machine.this.definition).States.Register.Parameters.InferenceSpecification.Containers[0].Image == var.images.serving
    )
    error_message = "What is evaluated and registered must be what will serve."
  }
}

run "a_tag_is_refused" {
  command = plan

  variables {
    images = {
      training = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      serving  = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris:latest"
    }
  }

  expect_failures = [var.images]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}

run "jobs_are_encrypted_isolated_and_in_the_network" {
  command = apply

  variables {
    vpc = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"], role_statements = "[{\"Sid\":\"MakeInterfaces\",\"Effect\":\"Allow\",\"Action\":[\"ec2:CreateNetworkInterface\"],\"Resource\":\"*\"}]" }
  }

  assert {
    condition = alltrue([
      for resources in [
        jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.ResourceConfig,
        jsondecode(aws_sfn_state_machine.this.definition).States.Evaluate.Parameters.ProcessingResources.ClusterConfig,
      ] : try(resources.VolumeKmsKeyId, "") == var.kms_key_arn
    ])
    error_message = "Both jobs encrypt their volumes with our key."
  }
  assert {
    condition = alltrue([
      for network in [
        jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters,
        jsondecode(aws_sfn_state_machine.this.definition).States.Evaluate.Parameters.NetworkConfig,
      ] : network.EnableNetworkIsolation && network.EnableInterContainerTrafficEncryption && network.VpcConfig == { Subnets = ["subnet-1", "subnet-2"], SecurityGroupIds = ["sg-1"] }
    ])
    error_message = "Both jobs are isolated, encrypt what their instances tell each other, and run in the given subnets."
  }
}

run "what_is_switched_off_is_left_out" {
  command = apply

  variables {
    training = { instance_type = "ml.g5.xlarge", instance_count = 1, volume_size_gb = 10, max_runtime_s = 3600, encrypt_volume = false, network_isolation = false, inter_container_encryption = false }
  }

  assert {
    condition     = !can(jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.ResourceConfig.VolumeKmsKeyId) && !can(jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.VpcConfig)
    error_message = "Without our key or a network the request names neither: SageMaker takes no empty ones."
  }
  assert {
    condition     = !jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.EnableNetworkIsolation
    error_message = "The switch of the job decides."
  }
}

run "a_spot_job_waits_for_its_instance_and_keeps_checkpoints" {
  command = apply

  variables {
    training = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 3600, spot_wait_s = 7200 }
  }

  assert {
    condition = (
      jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.EnableManagedSpotTraining
      && jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.StoppingCondition == { MaxRuntimeInSeconds = 3600, MaxWaitTimeInSeconds = 7200 }
      && startswith(jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.CheckpointConfig["S3Uri.$"], "States.Format('s3://mlops-staging-models-123456789012/runs/{}/checkpoints'")
      && jsondecode(aws_sfn_state_machine.this.definition).States.Train.TimeoutSeconds > 7200
    )
    error_message = "A Spot job names how long it may wait in all, and where its checkpoints outlive the instance."
  }
}

run "without_spot_nothing_is_said_of_it" {
  command = apply

  assert {
    condition     = !can(jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.EnableManagedSpotTraining) && !can(jsondecode(aws_sfn_state_machine.this.definition).States.Train.Parameters.CheckpointConfig)
    error_message = "SageMaker takes MaxWaitTimeInSeconds for Spot jobs only."
  }
}

run "the_machine_outlasts_every_attempt" {
  command = apply

  variables {
    training = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 3600, attempts = 5, retry_wait_s = 600 }
  }

  assert {
    condition     = jsondecode(aws_sfn_state_machine.this.definition).TimeoutSeconds > 5 * (3600 + 3600 + 600) + 3 * (1800 + 3600 + 300) + 86400 + 86400
    error_message = "The machine's time must not end while a job may still be tried."
  }
}

run "a_spot_wait_shorter_than_the_training_is_refused" {
  command = plan

  variables {
    training = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 3600, spot_wait_s = 1800 }
  }

  expect_failures = [var.training]
}

run "the_machine_runs_its_own_models_jobs_only" {
  command = plan

  assert {
    condition = alltrue([
      for job in [
        "training-job/iris-0123456789abcdef", "training-job/iris-0123456789abcdef-2", "training-job/iris-0123456789abcdef-r2",
        "training-job/iris-0123456789abcdef-r12-5", "processing-job/iris-0123456789abcdef-eval",
        "processing-job/iris-0123456789abcdef-eval-2", "processing-job/iris-0123456789abcdef-r2-eval",
        "processing-job/iris-0123456789abcdef-r12-eval-5",
      ] :
      anytrue([for arn in local.jobs : can(regex("^${replace(arn, "?", ".")}$", "arn:aws:sagemaker:us-east-1:123456789012:${job}"))])
    ])
    error_message = "Each name that the machine gives a job must be one that it may use."
  }
  assert {
    condition = !anytrue([
      for job in [
        "training-job/iris-large-0123456789abcdef", "training-job/iris-large-0123456789abcdef-2", "training-job/iris-r2-0123456789abcdef",
        "processing-job/iris-large-0123456789abcdef-eval", "processing-job/iris-x-0123456789abcdef-r2-eval-2",
        "processing-job/iris-r-0123456789abcdef-eval",
      ] :
      anytrue([for arn in local.jobs : can(regex("^${replace(replace(arn, "?", "."), "*", ".*")}$", "arn:aws:sagemaker:us-east-1:123456789012:${job}"))])
    ])
    error_message = "A model whose name begins with this one's has jobs of its own."
  }
}

run "following_a_job_fits_into_the_history" {
  command = apply

  variables {
    training = { instance_type = "ml.m5.large", instance_count = 1, volume_size_gb = 10, max_runtime_s = 432000 }
  }

  assert {
    # Task, choice and wait leave nine events a round.
    condition     = 9 * 432000 / jsondecode(aws_sfn_state_machine.this.definition).States.WaitForTraining.Seconds < 12500
    error_message = "An execution's history holds 25,000 events; following one job may take half of them."
  }
}
