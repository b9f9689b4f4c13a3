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
    condition     = contains(["cloudtrail", "events", "lambda", "sagemaker", "states", "vpc-flow-logs"], var.service)
    error_message = "service must be cloudtrail, events, lambda, sagemaker, states or vpc-flow-logs."
  }
}

variable "description" {
  description = "What the role is for, in one sentence that people read in the console."
  type        = string
}

variable "boundary_arn" {
  description = "ARN of the permissions boundary of the project's roles; the deployer may make no role without it."
  type        = string
}

variable "source_arns" {
  description = "Patterns of the ARNs (with * and ?) on whose behalf the service may assume the role; empty where AWS documents no aws:SourceArn, which is Lambda."
  type        = list(string)
  default     = []
  validation {
    condition     = length(var.source_arns) > 0 || var.service == "lambda"
    error_message = "Every service but Lambda says on whose behalf it assumes a role: source_arns must name it."
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
