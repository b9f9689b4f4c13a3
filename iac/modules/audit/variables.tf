variable "context" {
  description = "Where the module is applied: partition, region, account_id (12 digits) and boundary_arn, the permissions boundary of its role."
  type = object({
    partition    = string
    region       = string
    account_id   = string
    boundary_arn = string
  })
}

variable "name" {
  description = "Name of the trail."
  type        = string
}

variable "logs_bucket" {
  description = "Bucket that receives the log files and their digests; its policy must let this trail write."
  type        = string
}

variable "watched_bucket_arns" {
  description = "ARNs of the buckets whose object reads and writes are recorded; never the logs bucket, which would record itself."
  type        = set(string)
}

variable "topic" {
  description = "Name of the topic that is told of each log file."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the log files, the log group and the topic."
  type        = string
}

variable "log_group" {
  description = "Name of the log group that receives the records, too."
  type        = string
}

variable "role_name" {
  description = "Name of the role by which the trail writes to the log group."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the log group keeps the records."
  type        = number
}
