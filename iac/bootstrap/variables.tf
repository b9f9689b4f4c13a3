variable "project" {
  description = "Project that every name starts with: 2 to 12 lower-case letters, digits or hyphens, starting with a letter."
  type        = string
  default     = "mlops"
}

variable "approver_principals" {
  description = "ARNs of the users and roles that may take on the approver's role, a role's sessions under their own name. Nobody by default, and never a whole account."
  type        = set(string)
  validation {
    condition     = length(var.approver_principals) > 0 && alltrue([for arn in var.approver_principals : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(user|role)/[^*?]+$", arn))])
    error_message = "approver_principals must name at least one user or role by its ARN, without wildcards."
  }
}

variable "data_scientist_principals" {
  description = "ARNs of the users and roles that may take on the data scientist's role, a role's sessions under their own name. Nobody by default, and never a whole account."
  type        = set(string)
  validation {
    condition     = length(var.data_scientist_principals) > 0 && alltrue([for arn in var.data_scientist_principals : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(user|role)/[^*?]+$", arn))])
    error_message = "data_scientist_principals must name at least one user or role by its ARN, without wildcards."
  }
}

variable "deployer_principals" {
  description = "ARNs of the users and roles that may take on the deployer's role, a role's sessions under their own name. Nobody by default, and never a whole account."
  type        = set(string)
  validation {
    condition     = length(var.deployer_principals) > 0 && alltrue([for arn in var.deployer_principals : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(user|role)/[^*?]+$", arn))])
    error_message = "deployer_principals must name at least one user or role by its ARN, without wildcards."
  }
}

variable "github_repository" {
  description = "Repository (owner/name) whose GitHub Actions may take on the CI roles; null for no CI roles."
  type        = string
  default     = null
  validation {
    condition     = var.github_repository == null ? true : can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be owner/name."
  }
}

variable "jenkins_principals" {
  description = "ARNs of the roles of a Jenkins's agents, which may take on the CI roles and the data scientist's; none by default."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.jenkins_principals : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "jenkins_principals must name roles by their ARN, without wildcards."
  }
}

variable "github_environments" {
  description = "GitHub environments of the repository in which CI may take on roles: plan; apply, whose environments must require reviewers, for approving and applying; retrain, for the data scientist's."
  type        = object({ plan = set(string), apply = set(string), retrain = set(string) })
  default     = { plan = ["plan"], apply = ["core", "staging", "production"], retrain = ["retrain"] }
  validation {
    condition     = alltrue([for name in setunion(values(var.github_environments)...) : can(regex("^[A-Za-z0-9_.-]+$", name))])
    error_message = "A GitHub environment's name may have no wildcard and no colon here: it is compared as it stands."
  }
}

variable "access_logs_expiry_days" {
  description = "Days for which the access logs of the buckets are kept."
  type        = number
  default     = 365
  validation {
    condition     = var.access_logs_expiry_days >= 90
    error_message = "access_logs_expiry_days must be at least 90: an audit looks back that far."
  }
}

variable "plans_expiry_days" {
  description = "Days for which a saved plan waits for its approval and its apply, 1 to 30."
  type        = number
  default     = 7
  validation {
    condition     = var.plans_expiry_days >= 1 && var.plans_expiry_days <= 30
    error_message = "plans_expiry_days must be 1 to 30: a plan holds what the state holds."
  }
}
