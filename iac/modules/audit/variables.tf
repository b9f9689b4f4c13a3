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

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the log files."
  type        = string
}
