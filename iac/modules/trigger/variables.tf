variable "upload_rule" {
  description = "Name of the rule for S3's own events, and of the role that both rules use."
  type        = string
}

variable "upload_trail_rule" {
  description = "Name of the rule for CloudTrail's events."
  type        = string
}

variable "account_id" {
  description = "Account (12 digits) of the rules."
  type        = string
}

variable "boundary_arn" {
  description = "ARN of the permissions boundary of the role."
  type        = string
}

variable "data_bucket" {
  description = "Name of the bucket whose uploads count."
  type        = string
}

variable "dataset_prefix" {
  description = "Key prefix of the model's datasets, ending with a slash."
  type        = string
  validation {
    condition     = endswith(var.dataset_prefix, "/")
    error_message = "dataset_prefix must end with a slash, or another model's uploads would count too."
  }
}

variable "state_machine_arn" {
  description = "ARN of the retraining state machine that an upload starts."
  type        = string
}

variable "dead_letters_queue_arn" {
  description = "ARN of the queue for events that could not be delivered."
  type        = string
}

variable "maximum_event_age_s" {
  description = "Seconds for which delivery of an event is retried."
  type        = number
  default     = 3600
  validation {
    condition     = var.maximum_event_age_s >= 60 && var.maximum_event_age_s <= 86400
    error_message = "EventBridge keeps an event between 60 and 86,400 seconds."
  }
}

variable "maximum_retries" {
  description = "Number of times that delivery of an event is retried."
  type        = number
  default     = 10
  validation {
    condition     = var.maximum_retries >= 0 && var.maximum_retries <= 185
    error_message = "EventBridge retries between 0 and 185 times."
  }
}
