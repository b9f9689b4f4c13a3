"""The platform's side: the `mlops` command line, its stages, and the Lambdas of the state machines."""
