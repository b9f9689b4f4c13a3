"""Amazon SageMaker: control plane, jobs that run, endpoints that answer."""
