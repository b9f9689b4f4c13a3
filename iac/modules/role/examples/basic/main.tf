module "role" {
  source       = "../.."
  name         = "mlops-staging-claim"
  service      = "lambda"
  account_id   = "123456789012"
  boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary"
  description  = "What the function mlops-staging-claim may do."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ClaimRuns"
      Effect   = "Allow"
      Action   = ["dynamodb:PutItem"]
      Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/mlops-staging-runs"
    }]
  })
}
