module "training_role" {
  source = "../.."
  context = {
    partition    = "aws"
    region       = "us-east-1"
    account_id   = "123456789012"
    boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary"
  }
  name            = "mlops-staging-training-iris"
  description     = "What the training jobs of iris may do."
  repository      = "mlops-iris"
  kms_key_arn     = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_group       = "/aws/sagemaker/TrainingJobs"
  makes_log_group = true
  writes          = true
  statements = [{
    Sid      = "ReadTrainingData"
    Effect   = "Allow"
    Action   = ["s3:GetObject"]
    Resource = "arn:aws:s3:::mlops-staging-models-123456789012/runs/iris-*/train/*"
  }]
}
