# Takes what was approved in staging.
environment   = "production"
promotes_from = "staging"

models = {
  iris = {}
}
