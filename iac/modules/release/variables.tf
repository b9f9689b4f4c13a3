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
  description = "Project that the releases belong to."
  type        = string
}

variable "environment" {
  description = "Environment that is released to."
  type        = string
}

variable "model" {
  description = "Name of the model."
  type        = string
}

variable "names" {
  description = "Names that the names module gives to the model: endpoint, release_state_machine and approval_rule."
  type = object({
    endpoint              = string
    release_state_machine = string
    approval_rule         = string
  })
}

variable "function_arns" {
  description = "ARNs of the functions by handler: authorise, deploy, smoke, scale, rollback, record."
  type        = map(string)
  validation {
    condition     = length(setsubtract(["authorise", "deploy", "smoke", "scale", "rollback", "record"], keys(var.function_arns))) == 0
    error_message = "function_arns must have authorise, deploy, smoke, scale, rollback and record."
  }
}

variable "serving" {
  description = <<-TEXT
    What a release makes an endpoint of: execution_role_arn, kms_key_arn (null for instances with local NVMe disks),
    instance_type, instance_count, autoscaling (null, or min_instances, max_instances, invocations_per_instance per
    minute, scale_in_cooldown_s, scale_out_cooldown_s), variant_name, network_isolation, subnet_ids and
    security_group_ids (both empty for no VPC), startup_timeout_s, download_timeout_s, traffic (type, size_percent of the
    fleet, wait_s), termination_wait_s, max_runtime_s, rollback_alarms.
  TEXT
  type = object({
    execution_role_arn = string
    kms_key_arn        = optional(string)
    instance_type      = string
    instance_count     = number
    autoscaling = optional(object({
      min_instances            = number
      max_instances            = number
      invocations_per_instance = number
      scale_in_cooldown_s      = number
      scale_out_cooldown_s     = number
    }))
    variant_name       = string
    network_isolation  = bool
    subnet_ids         = optional(list(string), [])
    security_group_ids = optional(list(string), [])
    startup_timeout_s  = number
    download_timeout_s = number
    traffic = object({
      type         = string
      size_percent = optional(number)
      wait_s       = number
    })
    termination_wait_s = number
    max_runtime_s      = number
    rollback_alarms    = list(string)
  })
}

variable "golden_uri" {
  description = "S3 URI of the model's configuration, which holds the golden requests."
  type        = string
}

variable "approvals_from" {
  description = "Model package group whose approvals start a release by themselves; null where another state machine starts it."
  type        = string
  default     = null
}

variable "dead_letters_queue_arn" {
  description = "ARN of the queue for approvals that could not be delivered."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the logs."
  type        = string
}

variable "timeout_s" {
  description = "Seconds within which an endpoint must be in service."
  type        = number
  default     = 1800
  validation {
    condition     = var.timeout_s >= 60 && var.timeout_s <= 28800
    error_message = "timeout_s must be between 60 and 28,800."
  }
}

variable "log_retention_days" {
  description = "Days for which the state machine's logs are kept."
  type        = number
}
