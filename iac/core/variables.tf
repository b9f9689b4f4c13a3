variable "project" {
  description = "Project that every name starts with: 2 to 12 lower-case letters, digits or hyphens, starting with a letter."
  type        = string
  default     = "mlops"
}

variable "models" {
  description = "Models by name; each gets an image repository."
  type        = set(string)
  validation {
    condition     = length(var.models) > 0
    error_message = "models must name at least one model."
  }
}

variable "ledger_retention_days" {
  description = "Days for which no entry of the ledger can be altered or deleted without the right to bypass governance."
  type        = number
  default     = 365
  validation {
    condition     = var.ledger_retention_days >= 1 && var.ledger_retention_days <= 3650
    error_message = "ledger_retention_days must be between 1 and 3650."
  }
}
