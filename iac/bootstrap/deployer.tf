# The role that plans, applies and destroys core and the environments, pushes images, and operates what runs.
# Its policies name the actions of each service and are held to the project's own resources.
resource "aws_iam_role" "deployer" {
  name                 = module.names.account.deployer_role
  description          = "Plans and applies the infrastructure of ${var.project} and operates it."
  max_session_duration = 3600
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = local.person_trust.deployer })
}

resource "aws_iam_policy" "deployer" {
  for_each    = local.deployer_statements
  name        = "${module.names.account.deployer_role}-${each.key}"
  description = "What the deployer of ${var.project} may do: ${each.key}."
  policy      = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

resource "aws_iam_role_policy_attachment" "deployer" {
  for_each   = aws_iam_policy.deployer
  role       = aws_iam_role.deployer.name
  policy_arn = each.value.arn
}
