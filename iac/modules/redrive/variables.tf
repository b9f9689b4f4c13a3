variable "context" {
  description = "Where the module is applied: partition, region, account_id (12 digits) and boundary_arn, the permissions boundary of its roles."
  type = object({
    partition    = string
    region       = string
    account_id   = string
    boundary_arn = string
  })
}

variable "environment" {
  description = "Environment whose dead letters these are."
  type        = string
}

variable "name" {
  description = "Name of the state machine and its role."
  type        = string
}

variable "queue" {
  description = "The dead-letter queue: arn and url."
  type        = object({ arn = string, url = string })
}

variable "state_machine_arns" {
  description = "ARNs of the state machines that rules of the environment start."
  type        = list(string)
  validation {
    condition     = length(var.state_machine_arns) > 0
    error_message = "state_machine_arns must name those that events start; without one there is nothing to hand on."
  }
}

variable "answer_gate_function_arn" {
  description = "ARN of the function that takes answers to the gate; null where there is no gate."
  type        = string
  default     = null
}

variable "note_plans_function_arn" {
  description = "ARN of the function that enters records of plans, which a schedule calls as well as events do; null where there is none."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the queue and the logs."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the state machine's logs are kept."
  type        = number
}
