variable "name" {
  description = "Name of the bucket: 3 to 63 lower-case letters, digits, hyphens or dots."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits, hyphens or dots."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the objects by default; null where s3_keys is true."
  type        = string
  default     = null
  validation {
    condition     = (var.kms_key_arn == null) == var.s3_keys
    error_message = "A bucket has a kms_key_arn, or else s3_keys = true."
  }
}

variable "s3_keys" {
  description = "Whether S3's own keys encrypt the objects by default, the only ones that S3 delivers access logs with. Said apart from the key, so that a plan tells it before the key is there."
  type        = bool
  default     = false
}

variable "access_logs_bucket" {
  description = "Name of the bucket that receives the access logs, below <name>/; null for none."
  type        = string
  validation {
    condition     = var.access_logs_bucket != var.name
    error_message = "A bucket that logs to itself logs its own logs without end."
  }
}

variable "statements" {
  description = "Further statements of the bucket policy, each with a Sid; plain HTTP is refused anyway."
  type        = any
  default     = []
  validation {
    condition     = alltrue([for statement in var.statements : can(statement.Sid)])
    error_message = "Each statement needs a Sid."
  }
}

variable "retention_days" {
  description = "Days for which a written object can be neither altered nor deleted without the right to bypass governance; null for no object lock."
  type        = number
  default     = null
  validation {
    condition     = var.retention_days == null ? true : var.retention_days >= 1 && var.retention_days <= 36500
    error_message = "retention_days must be null or between 1 and 36,500."
  }
}

variable "expiry_days" {
  description = "Days after which objects are removed; null for never."
  type        = number
  default     = null
  validation {
    condition     = var.expiry_days == null ? true : var.expiry_days >= 1
    error_message = "expiry_days must be null or at least 1."
  }
}

variable "noncurrent_expiry_days" {
  description = "Days after which overwritten and deleted versions are removed; null for never."
  type        = number
  validation {
    condition     = var.noncurrent_expiry_days == null ? true : var.noncurrent_expiry_days >= 1
    error_message = "noncurrent_expiry_days must be null or at least 1."
  }
}

variable "short_lived" {
  description = "Days after which the objects below a prefix are removed for good, by prefix, which ends with a slash."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for prefix, days in var.short_lived : endswith(prefix, "/") && days >= 1])
    error_message = "short_lived must give at least 1 day to each prefix, and each prefix must end with a slash."
  }
}
