resource "aws_sagemaker_model_package_group" "this" {
  model_package_group_name        = var.names.model_package_group
  model_package_group_description = "Candidates of ${var.model}: one version per run that passed its gates."
}
