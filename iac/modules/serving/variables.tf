variable "context" {
  description = "Where the module is applied: partition, region, account_id (12 digits) and boundary_arn, the permissions boundary of its roles."
  type = object({
    partition    = string
    region       = string
    account_id   = string
    boundary_arn = string
  })
}

variable "model" {
  description = "Name of the model."
  type        = string
}

variable "names" {
  description = "Names that the names module gives to the model: endpoint, role and alarms."
  type = object({
    endpoint       = string
    serving_role   = string
    errors_alarm   = string
    latency_alarm  = string
    refusals_alarm = string
    silence_alarm  = string
  })
}

variable "variant_name" {
  description = "Name of the production variant that the alarms look at."
  type        = string
}

variable "model_folder" {
  description = "Path of the model team's folder, which holds model.yaml and holdout.csv."
  type        = string
}

variable "models_bucket" {
  description = "Name of the bucket of releases and model configuration."
  type        = string
}

variable "repository" {
  description = "Name of the model's image repository."
  type        = string
}

variable "vpc" {
  description = "Where the endpoint's containers run: role_statements (JSON) are what their role needs for it; null for SageMaker's own network."
  type = object({
    role_statements = string
  })
  default = null
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts releases and logs."
  type        = string
}

variable "latency_alarm_ms" {
  description = "Milliseconds that the 99th percentile of model latency may reach before the alarm rings."
  type        = number
  validation {
    condition     = var.latency_alarm_ms > 0 && var.latency_alarm_ms <= 60000
    error_message = "latency_alarm_ms must be above 0 and at most 60,000: SageMaker gives up after 60 s."
  }
}

variable "log_retention_days" {
  description = "Days for which the endpoint's logs are kept."
  type        = number
}

variable "alerts_topic_arn" {
  description = "ARN of the topic that the alarms act on."
  type        = string
}

variable "always_serves" {
  description = "Whether the endpoint is meant to be up at all times, so that an alarm rings where nothing reports."
  type        = bool
}
