# Every connection that was made or refused: in a network without a way out, a refused one is news.
resource "aws_cloudwatch_log_group" "flow" {
  name              = "/aws/vpc/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_flow_log" "this" {
  vpc_id               = aws_vpc.this.id
  traffic_type         = "ALL"
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.flow.arn
  iam_role_arn         = module.flow_log_role.arn
  tags                 = { Name = var.name }
}

module "flow_log_role" {
  source       = "../role"
  name         = "${var.name}-flow-log"
  service      = "vpc-flow-logs"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "Writes the flow log of ${var.name}."
  source_arns  = ["arn:${var.context.partition}:ec2:${var.context.region}:${var.context.account_id}:vpc-flow-log/*"]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "WriteFlowLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.flow.arn}:*"
      },
      {
        # This action is asked of all groups.
        Sid      = "FindLogGroup"
        Effect   = "Allow"
        Action   = ["logs:DescribeLogGroups"]
        Resource = "*"
      },
    ]
  })
}
