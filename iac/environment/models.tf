variable "models" {
  description = <<-TEXT
    Models by name (the name of their folder), each with what is left at its default unless said:
    approval_timeout_s: seconds for which a candidate waits for an answer.
    latency_alarm_ms: milliseconds that the 99th percentile of model latency may reach.
    training, evaluation: jobs, with instance_type, instance_count, volume_size_gb (GB), max_runtime_s (seconds).
    serving: endpoint, with instance_type, instance_count (null: 1 where models are retrained, else 2), variant_name,
      encrypt_volume (false for instance types with local NVMe disks), network_isolation, startup_timeout_s and
      download_timeout_s (seconds for which a container may start and a model be loaded), traffic (type ALL_AT_ONCE, CANARY
      or LINEAR; size_percent of the fleet; wait_s seconds between steps), termination_wait_s (seconds for which the old
      fleet stays), max_runtime_s (seconds for the whole update).
  TEXT
  type = map(object({
    approval_timeout_s = optional(number, 86400)
    latency_alarm_ms   = optional(number, 500)
    training = optional(object({
      instance_type  = optional(string, "ml.m5.large")
      instance_count = optional(number, 1)
      volume_size_gb = optional(number, 10)
      max_runtime_s  = optional(number, 3600)
    }), {})
    evaluation = optional(object({
      instance_type  = optional(string, "ml.m5.large")
      instance_count = optional(number, 1)
      volume_size_gb = optional(number, 10)
      max_runtime_s  = optional(number, 1800)
    }), {})
    serving = optional(object({
      instance_type      = optional(string, "ml.m5.large")
      instance_count     = optional(number)
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
    condition     = alltrue([for job in flatten([for model in var.models : [model.training, model.evaluation]]) : startswith(job.instance_type, "ml.") && job.instance_count >= 1])
    error_message = "A job needs an instance_type that starts with ml. and an instance_count of at least 1."
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
    condition     = alltrue([for model in var.models : startswith(model.serving.instance_type, "ml.") && coalesce(model.serving.instance_count, 1) >= 1])
    error_message = "serving needs an instance_type that starts with ml. and an instance_count of at least 1."
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
      for model in var.models : model.serving.traffic.type == "ALL_AT_ONCE" || coalesce(model.serving.instance_count, var.promotes_from == null ? 1 : 2) >= 2
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
