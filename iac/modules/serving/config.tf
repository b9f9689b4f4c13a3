# What the platform's Lambdas and jobs read of the model team's folder; they have no YAML parser.
resource "aws_s3_object" "model" {
  bucket       = var.models_bucket
  key          = "config/${var.model}/model.json"
  content      = jsonencode(yamldecode(file("${var.model_folder}/model.yaml")))
  content_type = "application/json"
}

resource "aws_s3_object" "holdout" {
  bucket       = var.models_bucket
  key          = "config/${var.model}/holdout.csv"
  source       = "${var.model_folder}/holdout.csv"
  source_hash  = filesha256("${var.model_folder}/holdout.csv")
  content_type = "text/csv"
}
