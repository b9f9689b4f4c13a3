resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/vendedlogs/states/${var.names.retraining_state_machine}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# Members of a request that are left out where there is nothing to say.
locals {
  volume_keys = {
    for job, settings in { training = var.training, evaluation = var.evaluation } :
    job => settings.encrypt_volume ? "\"VolumeKmsKeyId\": ${jsonencode(var.kms_key_arn)}," : ""
  }
  spot_keys = var.training.spot_wait_s == null ? "" : "\"EnableManagedSpotTraining\": true, \"CheckpointConfig\": ${jsonencode({
    # Of the run, not of the job: another attempt goes on where this one was.
    "S3Uri.$" = "States.Format('s3://${var.models_bucket}/runs/{}/checkpoints', $.claim.run_id)"
  })},"
  # From asking for the instance to the end; a Spot instance may be waited for.
  training_longest_s = coalesce(var.training.spot_wait_s, var.training.max_runtime_s)
  # A job that is followed is asked for at most a thousand times: an execution's history holds 25,000 events.
  poll_s = {
    training   = max(15, ceil(local.training_longest_s / 1000))
    evaluation = max(15, ceil(var.evaluation.max_runtime_s / 1000))
  }
  # Each job with its attempts and the waits between them, the release on staging, and the wait for a person.
  machine_timeout_s = (
    var.training.attempts * (local.training_longest_s + 3600 + var.training.retry_wait_s)
    + var.evaluation.attempts * (var.evaluation.max_runtime_s + 3600 + var.evaluation.retry_wait_s)
    + var.approval_timeout_s + 90000
  )
  vpc_config = var.vpc == null ? "" : "\"VpcConfig\": ${jsonencode({ Subnets = var.vpc.subnet_ids, SecurityGroupIds = var.vpc.security_group_ids })},"
}

resource "aws_sfn_state_machine" "this" {
  name     = var.names.retraining_state_machine
  role_arn = module.role.arn
  definition = templatefile("${path.module}/retraining.asl.json.tftpl", {
    project                   = var.project
    environment               = var.environment
    model                     = var.model
    commit                    = var.commit
    claim_function_arn        = var.function_arns["claim"]
    validate_function_arn     = var.function_arns["validate"]
    judge_function_arn        = var.function_arns["judge"]
    open_gate_function_arn    = var.function_arns["open_gate"]
    record_function_arn       = var.function_arns["record"]
    training_image            = var.images.training
    training_image_digest     = regex("sha256:[0-9a-f]{64}$", var.images.training)
    serving_image             = var.images.serving
    image_digest              = regex("sha256:[0-9a-f]{64}$", var.images.serving)
    training_role_arn         = module.training_role.arn
    training_instance_type    = var.training.instance_type
    training_instance_count   = var.training.instance_count
    training_volume_size_gb   = var.training.volume_size_gb
    training_max_runtime_s    = var.training.max_runtime_s
    training_longest_s        = local.training_longest_s
    training_wait_key         = var.training.spot_wait_s == null ? "" : ", \"MaxWaitTimeInSeconds\": ${var.training.spot_wait_s}"
    training_spot_keys        = local.spot_keys
    training_attempts         = var.training.attempts
    training_retry_least_s    = floor(var.training.retry_wait_s / 2)
    training_retry_most_s     = var.training.retry_wait_s
    training_poll_s           = local.poll_s["training"]
    training_volume_key       = local.volume_keys["training"]
    training_isolation        = var.training.network_isolation
    training_encryption       = var.training.inter_container_encryption
    processing_role_arn       = module.processing_role.arn
    evaluation_instance_type  = var.evaluation.instance_type
    evaluation_instance_count = var.evaluation.instance_count
    evaluation_volume_size_gb = var.evaluation.volume_size_gb
    evaluation_max_runtime_s  = var.evaluation.max_runtime_s
    evaluation_attempts       = var.evaluation.attempts
    evaluation_retry_least_s  = floor(var.evaluation.retry_wait_s / 2)
    evaluation_retry_most_s   = var.evaluation.retry_wait_s
    evaluation_poll_s         = local.poll_s["evaluation"]
    evaluation_volume_key     = local.volume_keys["evaluation"]
    evaluation_isolation      = var.evaluation.network_isolation
    evaluation_encryption     = var.evaluation.inter_container_encryption
    vpc_config                = local.vpc_config
    data_bucket               = var.data_bucket
    models_bucket             = var.models_bucket
    data_kms_key_arn          = var.kms_key_arn
    alerts_topic_arn          = var.alerts_topic_arn
    model_package_group_name  = aws_sagemaker_model_package_group.this.model_package_group_name
    release_state_machine_arn = local.release_state_machine_arn
    approval_timeout_s        = var.approval_timeout_s
    machine_timeout_s         = local.machine_timeout_s
  })
  logging_configuration {
    level                  = "ERROR" # the events of a task that waits hold the token that answers it
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }
  tracing_configuration {
    enabled = true
  }
}
