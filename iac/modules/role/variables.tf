variable "name" {
  description = "Name of the role: the name of what it acts for."
  type        = string
  validation {
    condition     = length(var.name) <= 64
    error_message = "An IAM role name has at most 64 characters."
  }
}

variable "service" {
  description = "AWS service that may assume the role, without its domain, such as lambda, states, events or sagemaker."
  type        = string
  validation {
    condition     = contains(["cloudtrail", "events", "lambda", "sagemaker", "states"], var.service)
    error_message = "service must be cloudtrail, events, lambda, sagemaker or states."
  }
}

variable "account_id" {
  description = "Account (12 digits) on whose behalf the service must act to assume the role."
  type        = string
}

variable "policy" {
  description = "Policy document (JSON) of everything that the role may do."
  type        = string
  validation {
    condition     = length(var.policy) <= 10240
    error_message = "The inline policies of a role have at most 10,240 characters."
  }
  validation {
    condition = alltrue([
      for statement in jsondecode(var.policy).Statement :
      alltrue([for action in flatten([statement.Action]) : !strcontains(action, "*")])
    ])
    error_message = "Every action of a role is spelled out: no action may contain a wildcard."
  }
}
