module "trigger" {
  source                 = "../.."
  account_id             = "123456789012"
  boundary_arn           = "arn:aws:iam::123456789012:policy/mlops-boundary"
  upload_rule            = "mlops-staging-upload-iris"
  upload_trail_rule      = "mlops-staging-upload-trail-iris"
  data_bucket            = "mlops-staging-data-123456789012"
  dataset_prefix         = "datasets/iris/"
  state_machine_arn      = "arn:aws:states:us-east-1:123456789012:stateMachine:mlops-staging-retraining-iris"
  dead_letters_queue_arn = "arn:aws:sqs:us-east-1:123456789012:mlops-staging-dead-letters"
}
