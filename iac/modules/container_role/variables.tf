variable "context" {
  description = "Where the module is applied: partition, region, account_id (12 digits) and boundary_arn, the permissions boundary of its roles."
  type = object({
    partition    = string
    region       = string
    account_id   = string
    boundary_arn = string
  })
}

variable "name" {
  description = "Name of the role: the name of what it acts for."
  type        = string
}

variable "description" {
  description = "What the role is for, in one sentence that people read in the console."
  type        = string
}

variable "repository" {
  description = "Name of the model's image repository."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts what the container reads, writes and keeps on its volume."
  type        = string
}

variable "log_group" {
  description = "Name of the log group that SageMaker writes the container's output to."
  type        = string
  validation {
    condition     = startswith(var.log_group, "/aws/sagemaker/")
    error_message = "SageMaker writes below /aws/sagemaker/ only."
  }
}

variable "makes_log_group" {
  description = "Whether SageMaker may make the log group, because Terraform does not."
  type        = bool
  default     = false
}

variable "writes" {
  description = "Whether the container is a job, which writes to S3 and has an encrypted volume of its own, and no endpoint."
  type        = bool
}

variable "statements" {
  description = "Policy statements of what this container reads and writes."
  type        = any
}
