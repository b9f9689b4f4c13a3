variable "environment" {
  description = "Environment whose endpoints expire; never production."
  type        = string
  validation {
    condition     = var.environment != "production"
    error_message = "Nothing in production expires."
  }
}

variable "rule" {
  description = "Name of the schedule's rule."
  type        = string
}

variable "ttl_hours" {
  description = "Hours after its last change at which an endpoint is removed, with the models and configurations that nothing uses."
  type        = number
  validation {
    condition     = var.ttl_hours >= 1 && var.ttl_hours <= 8760
    error_message = "ttl_hours must be between 1 and 8,760 (a year)."
  }
}

variable "function_arn" {
  description = "ARN of the function that removes."
  type        = string
}

variable "account_id" {
  description = "Account (12 digits) of the rule."
  type        = string
}

variable "dead_letters_queue_arn" {
  description = "ARN of the queue for events that could not be delivered."
  type        = string
}
