variable "project" {
  description = "Project that every name starts with: 2 to 12 lower-case letters, digits or hyphens, starting with a letter."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,11}$", var.project))
    error_message = "project must match ^[a-z][a-z0-9-]{1,11}$: bucket and role names are built from it."
  }
  validation {
    condition     = !can(regex("-(staging|production)$", var.project))
    error_message = "project must not end with an environment's name: destroying that environment of the shorter project would take this one's data along."
  }
}

variable "account_id" {
  description = "AWS account id (12 digits); it makes bucket names globally unique."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "environment" {
  description = "Environment whose names are wanted; null for the names of the account alone."
  type        = string
  default     = null
  validation {
    condition     = var.environment == null ? true : contains(["staging", "production"], var.environment)
    error_message = "environment must be staging, production or null."
  }
}

variable "models" {
  description = "Models by name: 2 to 20 lower-case letters, digits or hyphens, starting with a letter."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for model in var.models : can(regex("^[a-z][a-z0-9-]{1,19}$", model))])
    error_message = "Each model name must match ^[a-z][a-z0-9-]{1,19}$: SageMaker and IAM names are built from it."
  }
}
