# Where datasets arrive and models are retrained, judged and tried out.
environment = "staging"
ttl_hours   = 72

models = {
  iris = {}
}
