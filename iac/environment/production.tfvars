# Takes what was approved in staging.
environment        = "production"
promotes_from      = "staging"
monthly_budget_usd = 1000

network = {
  cidr = "10.20.16.0/20"
}

models = {
  iris = {}
}
