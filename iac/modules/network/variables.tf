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
  description = "Name of the network and the start of the names of all that is in it."
  type        = string
}

variable "cidr" {
  description = "Private IPv4 range of the network, /16 to /22; each zone's subnet takes a sixteenth of it."
  type        = string
  default     = "10.20.0.0/20"
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr must be an IPv4 range from /16 to /22, such as 10.20.0.0/20."
  }
}

variable "zones" {
  description = "Availability zones, two or more: each gets one private subnet."
  type        = list(string)
  validation {
    condition     = length(distinct(var.zones)) == length(var.zones) && length(var.zones) >= 2 && length(var.zones) <= 6
    error_message = "zones must name 2 to 6 different availability zones: one alone may fail."
  }
}

variable "buckets" {
  description = "Names of the buckets that may be reached; their objects are read, listed and written, never deleted."
  type        = set(string)
  validation {
    condition     = alltrue([for bucket in var.buckets : can(regex("^[a-z0-9][a-z0-9-]+$", bucket))])
    error_message = "Each of buckets is a name without wildcards."
  }
}

variable "tables" {
  description = "Names of the DynamoDB tables that may be reached."
  type        = set(string)
  validation {
    condition     = alltrue([for table in var.tables : can(regex("^[A-Za-z0-9_-]+$", table))])
    error_message = "Each of tables is a name without wildcards."
  }
}

variable "interface_endpoints" {
  description = "AWS services to reach beside S3 and DynamoDB, such as sagemaker.api; each costs by the hour in each zone."
  type        = set(string)
  default     = []
  validation {
    condition = length(setsubtract(var.interface_endpoints, [
      "application-autoscaling", "ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "sagemaker.api", "sagemaker.runtime", "states", "sts",
    ])) == 0
    error_message = "interface_endpoints may hold application-autoscaling, ecr.api, ecr.dkr, kms, logs, monitoring, sagemaker.api, sagemaker.runtime, states and sts; S3 and DynamoDB have gateways."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the flow log."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the flow log is kept."
  type        = number
}
