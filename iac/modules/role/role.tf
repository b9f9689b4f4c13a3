locals {
  conditions = merge(
    { StringEquals = { "aws:SourceAccount" = var.account_id } },
    length(var.source_arns) == 0 ? {} : { ArnLike = { "aws:SourceArn" = sort(var.source_arns) } },
  )
}

resource "aws_iam_role" "this" {
  name                 = var.name
  description          = var.description
  permissions_boundary = var.boundary_arn
  # AWS services renew their sessions; an hour is the shortest there is.
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ServiceOnBehalfOfThisAccount"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "${var.service}.amazonaws.com" }
      Condition = local.conditions
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = "permissions"
  role   = aws_iam_role.this.name
  policy = var.policy
}
