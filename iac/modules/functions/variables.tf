variable "context" {
  description = "Where the module is applied: partition, region, account_id (12 digits) and boundary_arn, the permissions boundary of its roles."
  type = object({
    partition    = string
    region       = string
    account_id   = string
    boundary_arn = string
  })
}

variable "project" {
  description = "Project that the functions belong to."
  type        = string
}

variable "environment" {
  description = "Environment that the functions act in."
  type        = string
}

variable "handlers" {
  description = "Handlers to deploy: the modules of pipeline/lambdas."
  type        = set(string)
  validation {
    condition = length(setsubtract(var.handlers, [
      "claim", "validate", "judge", "open_gate", "answer_gate", "authorise", "deploy", "smoke", "scale", "rollback", "record",
      "note_plans", "expire", "reconcile",
    ])) == 0
    error_message = "handlers names a module that pipeline/lambdas does not have."
  }
}

variable "names" {
  description = "Names that the names module gives to this environment: prefix, buckets and functions by handler."
  type = object({
    prefix        = string
    data_bucket   = string
    models_bucket = string
    functions     = map(string)
  })
}

variable "runs" {
  description = "Names of the environment whose runs are promoted, which is this one where models are retrained: prefix, models_bucket and runs_table."
  type = object({
    prefix        = string
    models_bucket = string
    runs_table    = string
  })
}

variable "ledger_bucket" {
  description = "Name of the bucket of approvals and release history."
  type        = string
}

variable "state" {
  description = "Where plans and what became of them are recorded: the state's bucket, and key_alias of the key that encrypts it."
  type = object({
    bucket    = string
    key_alias = string
  })
}

variable "approval_key_arn" {
  description = "ARN of the key that signs approvals."
  type        = string
}

variable "approval_required" {
  description = "Whether a release needs a signed approval."
  type        = bool
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts data, logs and the functions' environment."
  type        = string
}

variable "package" {
  description = "Path of the zip with every handler, from the root module."
  type        = string
}

variable "package_bucket" {
  description = "Name of the versioned bucket that the functions are deployed from."
  type        = string
}

variable "commit" {
  description = "Commit (7 to 64 hexadecimal digits) that the package was built from."
  type        = string
}

variable "dead_letters_queue_arn" {
  description = "ARN of the queue for events that a function failed on to the end."
  type        = string
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

variable "log_retention_days" {
  description = "Days for which the functions' logs are kept."
  type        = number
}

variable "vpc" {
  description = "Where the functions run: subnet_ids, security_group_ids and role_statements (JSON), as the network module puts them out; null for no VPC, that is with a way to the internet."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
    role_statements    = string
  })
  default = null
}
