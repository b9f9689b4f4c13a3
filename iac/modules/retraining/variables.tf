variable "context" {
  description = "Where the module is applied: partition, region, account_id (12 digits) and boundary_arn, the permissions boundary of its roles."
  type = object({
    partition    = string
    region       = string
    account_id   = string
    boundary_arn = string
  })
}

variable "project" {
  description = "Project that the runs belong to."
  type        = string
}

variable "environment" {
  description = "Environment that retrains."
  type        = string
}

variable "model" {
  description = "Name of the model."
  type        = string
}

variable "names" {
  description = "Names that the names module gives to the model: state machine, model package group, roles, release_state_machine and answer_rule."
  type = object({
    retraining_state_machine = string
    release_state_machine    = string
    model_package_group      = string
    training_role            = string
    processing_role          = string
    answer_rule              = string
  })
}

variable "function_arns" {
  description = "ARNs of the functions by handler: claim, validate, judge, open_gate, answer_gate, record."
  type        = map(string)
  validation {
    condition     = length(setsubtract(["claim", "validate", "judge", "open_gate", "answer_gate", "record"], keys(var.function_arns))) == 0
    error_message = "function_arns must have claim, validate, judge, open_gate, answer_gate and record."
  }
}

variable "images" {
  description = "Images of the model, by digest: <repository URI>@sha256:<64 hexadecimal digits>. training trains; serving evaluates, and serves the candidate."
  type        = object({ training = string, serving = string })
  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each image must end with @sha256:<64 hexadecimal digits>: a tag may be moved."
  }
}

variable "repository" {
  description = "Name of the model's image repository."
  type        = string
}

variable "training" {
  description = "Training job: instance_type, instance_count, volume_size_gb, max_runtime_s, encrypt_volume, network_isolation, inter_container_encryption, attempts, retry_wait_s, spot_wait_s (see the environment's models)."
  type = object({
    instance_type              = string
    instance_count             = number
    volume_size_gb             = number
    max_runtime_s              = number
    encrypt_volume             = optional(bool, true)
    network_isolation          = optional(bool, true)
    inter_container_encryption = optional(bool, true)
    attempts                   = optional(number, 3)
    retry_wait_s               = optional(number, 300)
    spot_wait_s                = optional(number)
  })
  validation {
    condition     = var.training.attempts >= 1 && var.training.attempts <= 5 && var.training.retry_wait_s >= 2 && var.training.retry_wait_s <= 3600
    error_message = "training.attempts must be 1 to 5, and retry_wait_s 2 to 3,600."
  }
  validation {
    condition     = var.training.spot_wait_s == null ? true : var.training.spot_wait_s >= var.training.max_runtime_s && var.training.spot_wait_s <= 432000
    error_message = "training.spot_wait_s is the whole time from asking for a Spot instance to the end: at least max_runtime_s, at most 432,000 (5 days)."
  }
}

variable "evaluation" {
  description = "Evaluation job: instance_type, instance_count, volume_size_gb, max_runtime_s, encrypt_volume, network_isolation, inter_container_encryption, attempts, retry_wait_s."
  type = object({
    instance_type              = string
    instance_count             = number
    volume_size_gb             = number
    max_runtime_s              = number
    encrypt_volume             = optional(bool, true)
    network_isolation          = optional(bool, true)
    inter_container_encryption = optional(bool, true)
    attempts                   = optional(number, 3)
    retry_wait_s               = optional(number, 300)
  })
  validation {
    condition     = var.evaluation.attempts >= 1 && var.evaluation.attempts <= 5 && var.evaluation.retry_wait_s >= 2 && var.evaluation.retry_wait_s <= 3600
    error_message = "evaluation.attempts must be 1 to 5, and retry_wait_s 2 to 3,600."
  }
}

variable "vpc" {
  description = "Where the jobs run: subnet_ids, security_group_ids and role_statements (JSON), as the network module puts them out; null for SageMaker's own network."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
    role_statements    = string
  })
  default = null
}

variable "approval_timeout_s" {
  description = "Seconds for which a candidate waits for an answer before the gate expires."
  type        = number
  validation {
    condition     = var.approval_timeout_s >= 60 && var.approval_timeout_s <= 2592000
    error_message = "approval_timeout_s must be between 60 and 2,592,000 (30 days)."
  }
}

variable "data_bucket" {
  description = "Name of the bucket that datasets are uploaded to."
  type        = string
}

variable "models_bucket" {
  description = "Name of the bucket of training data, results and model configuration."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts data, volumes and logs."
  type        = string
}

variable "commit" {
  description = "Commit (7 to 64 hexadecimal digits) that image and functions were built from."
  type        = string
}

variable "alerts_topic_arn" {
  description = "ARN of the topic that tells of datasets that were refused, encrypted with the key of kms_key_arn."
  type        = string
}

variable "dead_letters_queue_arn" {
  description = "ARN of the queue for answers that could not be delivered."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the state machine's logs are kept."
  type        = number
}
