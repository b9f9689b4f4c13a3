variable "project" {
  description = "Project that every name starts with: 2 to 12 lower-case letters, digits or hyphens, starting with a letter."
  type        = string
  default     = "mlops"
}

variable "environment" {
  description = "Environment that this is; the Terraform workspace of the same name must be selected."
  type        = string
  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "environment must be staging or production."
  }
  validation {
    condition     = var.environment == terraform.workspace
    error_message = "The variables of ${var.environment} are not for the workspace ${terraform.workspace}: select workspace ${var.environment}, or give ${terraform.workspace}.tfvars."
  }
}

variable "promotes_from" {
  description = "Environment whose approved models are released here; null where models are retrained."
  type        = string
  default     = null
  validation {
    condition     = var.promotes_from == null ? true : var.promotes_from == "staging" && var.environment != "staging"
    error_message = "promotes_from must be null or staging, and an environment is not promoted from itself."
  }
}

variable "state_bucket" {
  description = "Bucket that holds the state of core."
  type        = string
}

variable "images" {
  description = "Images of each model, by digest: <repository URI>@sha256:<64 hexadecimal digits>. training trains; serving evaluates and serves."
  type        = map(object({ training = string, serving = string }))
  validation {
    condition     = alltrue([for image in flatten([for images in values(var.images) : values(images)]) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each image must end with @sha256:<64 hexadecimal digits>: a tag may be moved."
  }
  validation {
    condition     = var.promotes_from != null || length(setsubtract(keys(var.models), keys(var.images))) == 0
    error_message = "images must name the images of each model that is retrained: ${join(", ", setsubtract(keys(var.models), keys(var.images)))} has none."
  }
}

variable "lambda_package" {
  description = "Path of the zip with every Lambda handler, from this folder."
  type        = string
  validation {
    condition     = fileexists(var.lambda_package)
    error_message = "There is no file ${var.lambda_package}: build the Lambda package first."
  }
}

variable "commit" {
  description = "Commit (7 to 64 hexadecimal digits, -dirty allowed) that images and functions were built from."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{7,64}(-dirty)?$", var.commit))
    error_message = "commit must be 7 to 64 hexadecimal digits, perhaps followed by -dirty."
  }
}

variable "models_folder" {
  description = "Path of the folder with a folder per model, each with model.yaml and holdout.csv; from this folder."
  type        = string
  default     = "../../model_src/models"
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch Logs offers."
  }
}

variable "release_timeout_s" {
  description = "Seconds within which an endpoint must be in service."
  type        = number
  default     = 1800
  validation {
    condition     = var.release_timeout_s >= 60 && var.release_timeout_s <= 28800
    error_message = "release_timeout_s must be between 60 and 28,800."
  }
}

variable "noncurrent_expiry_days" {
  description = "Days for which overwritten and deleted versions of datasets, models and configuration are kept."
  type        = number
  default     = 365
  validation {
    condition     = var.noncurrent_expiry_days >= 30
    error_message = "noncurrent_expiry_days must be at least 30: a run and its approval may still point at a version."
  }
}

variable "audit_expiry_days" {
  description = "Days for which the files of the audit trail are kept."
  type        = number
  default     = 365
  validation {
    condition     = var.audit_expiry_days >= 90
    error_message = "audit_expiry_days must be at least 90: an audit looks back that far."
  }
}

variable "network" {
  description = <<-TEXT
    The private network of jobs, endpoints and functions. What is not said is as production wants it:
    enabled: whether there is one; without it jobs and endpoints run in SageMaker's own.
    cidr: its IPv4 range, /16 to /22.
    zones: availability zones, two or more; null for the region's first two.
    functions: whether the functions run in it too, which takes interface endpoints that cost by the hour in each zone.
    interface_endpoints: further AWS services to reach, for programs of a model team that are not isolated.
  TEXT
  type = object({
    enabled             = optional(bool, true)
    cidr                = optional(string, "10.20.0.0/20")
    zones               = optional(list(string))
    functions           = optional(bool, true)
    interface_endpoints = optional(set(string), [])
  })
  default = {}
  validation {
    condition     = var.network.enabled || (length(var.network.interface_endpoints) == 0 && var.network.zones == null)
    error_message = "network: zones and interface_endpoints mean nothing where enabled is false."
  }
}

variable "reserved_concurrency" {
  description = "Executions of each function at a time, which the account sets aside for it; -1 for no limit, in an account with a small quota."
  type        = number
  default     = 10
  validation {
    condition     = var.reserved_concurrency == -1 || var.reserved_concurrency >= 1
    error_message = "reserved_concurrency must be -1 or at least 1: at 0 no function runs."
  }
}

variable "alert_emails" {
  description = "Mail addresses that are told of alarms; each must confirm."
  type        = set(string)
  default     = []
}

variable "monthly_budget_usd" {
  description = "US dollars a month at 80 % of which, and at whose forecast overrun, an alert is sent; null for no budget."
  type        = number
  default     = 300
}

variable "ttl_hours" {
  description = "Hours after its last release at which an endpoint is removed; null for never. Production has none."
  type        = number
  default     = null
  validation {
    condition     = var.ttl_hours == null || var.environment != "production"
    error_message = "Nothing in production expires: ttl_hours must be null there."
  }
}
