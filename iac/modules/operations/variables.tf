variable "context" {
  description = "Where the module is applied: partition, region and account_id (12 digits)."
  type = object({
    partition  = string
    region     = string
    account_id = string
  })
}

variable "environment" {
  description = "Environment that is watched; the budget counts what bears its tag."
  type        = string
}

variable "retrains" {
  description = "Whether the environment has retraining state machines."
  type        = bool
}

variable "names" {
  description = "Names that the names module gives to this environment: topic, dashboard, budget, queue, alarms, and models by name."
  type = object({
    alerts_topic       = string
    dashboard          = string
    budget             = string
    dead_letters_queue = string
    dead_letters_alarm = string
    function_alarms    = map(string)
    models = map(object({
      endpoint                 = string
      release_state_machine    = string
      retraining_state_machine = string
      release_alarm            = string
      retraining_alarm         = string
    }))
  })
}

variable "variant_names" {
  description = "Name of each model's production variant, by model."
  type        = map(string)
}

variable "function_names" {
  description = "Name of each function, by handler."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the topic; its policy must let CloudWatch and Budgets use it."
  type        = string
}

variable "alert_emails" {
  description = "Mail addresses that are told of alarms; each must confirm."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "Each of alert_emails must be a mail address."
  }
}

variable "function_errors" {
  description = "Number of errors of one function within 5 minutes at which its alarm rings."
  type        = number
  default     = 5
  validation {
    condition     = var.function_errors >= 1
    error_message = "function_errors must be at least 1."
  }
}

variable "monthly_budget_usd" {
  description = "US dollars a month at 80 % of which, and at whose forecast overrun, the topic is told; null for no budget."
  type        = number
  default     = null
  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be above 0, or null."
  }
}
