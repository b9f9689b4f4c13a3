# Takes what was approved in staging.
environment   = "production"
promotes_from = "staging"

network = {
  cidr = "10.20.16.0/20"
}

models = {
  iris = {}
}
