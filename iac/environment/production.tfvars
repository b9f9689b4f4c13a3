# Takes what was approved in staging.
environment        = "production"
promotes_from      = "staging"
log_retention_days = 365

models = {
  iris = {}
}
