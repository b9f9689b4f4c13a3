"""The registry behind the local ECR: the OCI distribution protocol, with layers on disk."""
