# Where datasets arrive and models are retrained, judged and tried out.
environment = "staging"

models = {
  iris = {}
}
