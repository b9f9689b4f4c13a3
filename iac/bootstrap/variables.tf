variable "project" {
  description = "Project that every name starts with: 2 to 12 lower-case letters, digits or hyphens, starting with a letter."
  type        = string
  default     = "mlops"
}

variable "deployer_principals" {
  description = "ARNs of the principals that may assume the deployer role; empty for any principal of the account whose own policy allows it."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.deployer_principals : startswith(arn, "arn:")])
    error_message = "deployer_principals must be ARNs."
  }
}

