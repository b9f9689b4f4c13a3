variable "models" {
  description = <<-TEXT
    Models by name (the name of their folder), each with what is left at its default unless said:
    approval_timeout_s: seconds for which a candidate waits for an answer.
    latency_alarm_ms: milliseconds that the 99th percentile of model latency may reach.
    training, evaluation: jobs, with instance_type (CPU or GPU), instance_count, volume_size_gb (GB), max_runtime_s
      (seconds), encrypt_volume (with our key; false for instance types with local NVMe disks, which encrypt by
      themselves), network_isolation (no network for the container), inter_container_encryption, attempts (jobs in a row,
      each under a name of its own, when AWS has no capacity or an error of its own) and retry_wait_s (seconds between them,
      at most). training also spot_wait_s: seconds for a Spot instance and the training on it together; null for no Spot.
    serving: endpoint, with instance_type, instance_count (null: minimum_instances), variant_name, autoscaling (null, or
      min_instances (null: instance_count), max_instances, invocations_per_instance (per minute, to hold),
      scale_in_cooldown_s and scale_out_cooldown_s (seconds)), encrypt_volume, network_isolation, startup_timeout_s and
      download_timeout_s (seconds for which a container may start and a model be loaded), traffic (type ALL_AT_ONCE, CANARY
      or LINEAR; size_percent of the fleet; wait_s seconds between steps), termination_wait_s (seconds for which the old
      fleet stays), max_runtime_s (seconds for the whole update).
  TEXT
  type = map(object({
    approval_timeout_s = optional(number, 86400)
    latency_alarm_ms   = optional(number, 500)
    training = optional(object({
      instance_type              = optional(string, "ml.m5.large")
      instance_count             = optional(number, 1)
      volume_size_gb             = optional(number, 10)
      max_runtime_s              = optional(number, 3600)
      encrypt_volume             = optional(bool, true)
      network_isolation          = optional(bool, true)
      inter_container_encryption = optional(bool, true)
      attempts                   = optional(number, 3)
      retry_wait_s               = optional(number, 300)
      spot_wait_s                = optional(number)
    }), {})
    evaluation = optional(object({
      instance_type              = optional(string, "ml.m5.large")
      instance_count             = optional(number, 1)
      volume_size_gb             = optional(number, 10)
      max_runtime_s              = optional(number, 1800)
      encrypt_volume             = optional(bool, true)
      network_isolation          = optional(bool, true)
      inter_container_encryption = optional(bool, true)
      attempts                   = optional(number, 3)
      retry_wait_s               = optional(number, 300)
    }), {})
    serving = optional(object({
      instance_type  = optional(string, "ml.m5.large")
      instance_count = optional(number)
      autoscaling = optional(object({
        min_instances            = optional(number)
        max_instances            = number
        invocations_per_instance = number
        scale_in_cooldown_s      = optional(number, 300)
        scale_out_cooldown_s     = optional(number, 60)
      }))
      variant_name       = optional(string, "primary")
      encrypt_volume     = optional(bool, true)
      network_isolation  = optional(bool, true)
      startup_timeout_s  = optional(number, 300)
      download_timeout_s = optional(number, 600)
      traffic = optional(object({
        type         = optional(string, "ALL_AT_ONCE")
        size_percent = optional(number)
        wait_s       = optional(number, 0)
      }), {})
      termination_wait_s = optional(number, 0)
      max_runtime_s      = optional(number, 1800)
    }), {})
  }))

  validation {
    condition     = length(var.models) > 0
    error_message = "models must name at least one model."
  }
  validation {
    condition = alltrue([
      for part in flatten([for model in var.models : [model.training, model.evaluation, model.serving]]) :
      can(regex("^ml\\.[a-z0-9-]+\\.[a-z0-9-]+$", part.instance_type)) && coalesce(part.instance_count, 1) >= 1
    ])
    error_message = "A job or endpoint needs an instance_type like ml.m5.large (CPU) or ml.g5.xlarge (GPU) and an instance_count of at least 1."
  }
  validation {
    condition = alltrue([
      for part in flatten([for model in var.models : [model.training, model.evaluation, model.serving]]) :
      !part.encrypt_volume || !can(regex(local.local_disks, part.instance_type))
    ])
    error_message = "These instance types have local NVMe disks, which take no key of ours and encrypt by themselves; set encrypt_volume = false for ${join(", ", distinct([
      for part in flatten([for model in var.models : [model.training, model.evaluation, model.serving]]) :
      part.instance_type if part.encrypt_volume && can(regex(local.local_disks, part.instance_type))
    ]))}."
  }
  validation {
    condition     = alltrue([for job in flatten([for model in var.models : [model.training, model.evaluation]]) : job.volume_size_gb >= 1 && job.volume_size_gb <= 16384])
    error_message = "volume_size_gb must be between 1 and 16,384."
  }
  validation {
    condition     = alltrue([for job in flatten([for model in var.models : [model.training, model.evaluation]]) : job.max_runtime_s >= 1 && job.max_runtime_s <= 432000])
    error_message = "max_runtime_s of a job must be between 1 and 432,000 (5 days)."
  }
  validation {
    condition = alltrue([
      for count in flatten([for model in var.models : [model.serving.instance_count, try(model.serving.autoscaling.min_instances, null)]]) :
      count == null ? true : count >= local.minimum_instances
    ])
    error_message = "serving needs an instance_count, and an autoscaling.min_instances, of at least minimum_instances, ${local.minimum_instances} here: two instances stand in two zones."
  }
  validation {
    condition = alltrue([
      for serving in values(var.models)[*].serving : serving.autoscaling == null ? true :
      coalesce(serving.autoscaling.min_instances, 1) <= coalesce(serving.instance_count, serving.autoscaling.min_instances, local.minimum_instances) &&
      coalesce(serving.instance_count, serving.autoscaling.min_instances, local.minimum_instances) <= serving.autoscaling.max_instances
    ])
    error_message = "instance_count must be between autoscaling.min_instances and autoscaling.max_instances."
  }
  validation {
    condition = alltrue([
      for model in var.models : model.serving.autoscaling == null ? true : model.serving.autoscaling.invocations_per_instance > 0 &&
      model.serving.autoscaling.scale_in_cooldown_s >= 0 && model.serving.autoscaling.scale_in_cooldown_s <= 3600 &&
      model.serving.autoscaling.scale_out_cooldown_s >= 0 && model.serving.autoscaling.scale_out_cooldown_s <= 3600
    ])
    error_message = "autoscaling needs invocations_per_instance above 0 and cooldowns between 0 and 3,600 seconds."
  }
  validation {
    condition     = alltrue([for model in var.models : model.serving.autoscaling == null || !startswith(model.serving.instance_type, "ml.t")])
    error_message = "SageMaker does not scale burstable instance types (ml.t2, ml.t3): choose another instance_type, or no autoscaling."
  }
  validation {
    condition     = alltrue([for model in var.models : model.serving.startup_timeout_s >= 60 && model.serving.startup_timeout_s <= 3600 && model.serving.download_timeout_s >= 60 && model.serving.download_timeout_s <= 3600])
    error_message = "startup_timeout_s and download_timeout_s must be between 60 and 3,600."
  }
  validation {
    condition     = alltrue([for model in var.models : contains(["ALL_AT_ONCE", "CANARY", "LINEAR"], model.serving.traffic.type)])
    error_message = "traffic.type must be ALL_AT_ONCE, CANARY or LINEAR."
  }
  validation {
    condition = alltrue([
      for model in var.models : model.serving.traffic.type == "ALL_AT_ONCE" ? model.serving.traffic.size_percent == null :
      coalesce(model.serving.traffic.size_percent, 0) >= (model.serving.traffic.type == "CANARY" ? 1 : 10) && coalesce(model.serving.traffic.size_percent, 0) <= 50
    ])
    error_message = "traffic.size_percent must be 1 to 50 for CANARY, 10 to 50 for LINEAR, and absent for ALL_AT_ONCE."
  }
  validation {
    condition = alltrue([
      for serving in values(var.models)[*].serving : serving.traffic.type == "ALL_AT_ONCE" ||
      coalesce(try(serving.autoscaling.min_instances, null), serving.instance_count, local.minimum_instances) >= 2
    ])
    error_message = "CANARY and LINEAR need an instance_count of at least 2: one instance cannot be split."
  }
  validation {
    condition     = alltrue([for model in var.models : model.serving.traffic.wait_s >= 0 && model.serving.traffic.wait_s <= 3600 && model.serving.termination_wait_s >= 0 && model.serving.termination_wait_s <= 3600])
    error_message = "traffic.wait_s and termination_wait_s must be between 0 and 3,600."
  }
  validation {
    condition     = alltrue([for model in var.models : model.serving.max_runtime_s >= 600 && model.serving.max_runtime_s <= 28800])
    error_message = "serving.max_runtime_s must be between 600 and 28,800."
  }
}

variable "minimum_instances" {
  description = "Instances that every endpoint has at least; null for 1 where models are retrained and 2 elsewhere. SageMaker spreads an endpoint's instances over the zones of the network."
  type        = number
  default     = null
  validation {
    condition     = var.minimum_instances == null ? true : var.minimum_instances >= 1
    error_message = "minimum_instances must be at least 1."
  }
}

locals {
  minimum_instances = coalesce(var.minimum_instances, var.promotes_from == null ? 1 : 2)

  # GPU families, and the d in m5d, c6gd, r5dn.
  local_disks = "^ml\\.(g4dn|g5|g6e?|gr6|p3dn|p4de?|p5(e|en)?|p6-[a-z0-9]+|trn1n?|trn2|i3(en)?|i4i|d3|[cmrx][0-9]+[a-z]*d[a-z]*)\\."

  # How many instances each endpoint starts with.
  instance_counts = {
    for name, model in var.models :
    name => coalesce(model.serving.instance_count, try(model.serving.autoscaling.min_instances, null), local.minimum_instances)
  }
}

# Terraform drops what an object's type does not know; `mlops plan` compares what was given with what was taken.
output "settings" {
  description = "Those settings of the .tfvars that are objects, with their defaults."
  value       = { models = var.models, network = var.network }
}
