variable "account_id" {
  description = "Account (12 digits) whose trail may write to the logs bucket."
  type        = string
}

variable "data_bucket" {
  description = "Name of the bucket that datasets are uploaded to."
  type        = string
}

variable "models_bucket" {
  description = "Name of the bucket of training results, releases and model configuration."
  type        = string
}

variable "logs_bucket" {
  description = "Name of the bucket of the audit trail; nothing watches it."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the buckets by default."
  type        = string
}

variable "trail_arn" {
  description = "ARN of the trail that may write to the logs bucket."
  type        = string
}

variable "watch_uploads" {
  description = "Whether the data bucket tells EventBridge of every new object."
  type        = bool
}
