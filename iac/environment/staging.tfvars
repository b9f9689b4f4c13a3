# Where datasets arrive and models are retrained, judged and tried out.
environment = "staging"
ttl_hours   = 72

# Jobs and endpoints as in production. The functions stay outside, which saves the interface endpoints: see
# docs/infrastructure.md for what they cost.
network = {
  functions = false
}

models = {
  iris = {}
}
