# GitHub Actions takes on a role by the identity token of its job: no key is kept there. The token's subject names the repository
# and the GitHub environment, whose reviewers stand before it, or a pull request of it; a fork's gets no token at all. Planning reads;
# applying may what the deployer may.
locals {
  github = "token.actions.githubusercontent.com"

  has_ci = var.github_repository != null || length(var.jenkins_principals) > 0

  ci_roles = { for name, description in {
    plan    = "Plans the infrastructure of ${var.project}: reads it, locks its state, and leaves the plan."
    approve = "Writes down who answered for a plan of ${var.project} at the gate of CI."
    apply   = "Applies the infrastructure of ${var.project} from an approved plan."
  } : name => description if local.has_ci }

  # A Jenkins has no identity tokens of its own: the role of its agents takes on the others.
  jenkins_trust = [for principals in [sort(var.jenkins_principals)] : {
    Sid       = "AgentsOfJenkins"
    Effect    = "Allow"
    Action    = "sts:AssumeRole"
    Principal = { AWS = principals }
  } if length(principals) > 0]

  ci_role_names = {
    plan    = module.names.account.ci_plan_role
    approve = module.names.account.ci_approve_role
    apply   = module.names.account.ci_apply_role
  }

  # What other commands read: of runs, of images; and what is left after a destroy. Looking for drift reads endpoints and the ledger.
  not_for_plans = ["Executions", "ModelPackages", "RedriveDeadLetters", "RegistryLogin", "SeeAndStopJobs"]

  # What a refresh reads is what the deployer's statements let it read.
  plan_statements = {
    for group, statements in local.deployer_statements : group => [
      for statement in statements : merge(statement, {
        Action = [for action in statement.Action : action if can(regex(":(Describe|Get|List|Validate|View)", action))]
      }) if !contains(local.not_for_plans, statement.Sid) && anytrue([for action in statement.Action : can(regex(":(Describe|Get|List|Validate|View)", action))])
    ]
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.github_repository == null ? 0 : 1
  url            = "https://${local.github}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "ci" {
  for_each             = local.ci_roles
  name                 = local.ci_role_names[each.key]
  description          = each.value
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.jenkins_trust, [
      for provider in aws_iam_openid_connect_provider.github[*].arn : {
        Sid       = "JobsOfTheRepositorysEnvironments"
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = provider }
        Condition = { StringEquals = {
          "${local.github}:aud" = "sts.amazonaws.com"
          "${local.github}:sub" = [for environment in sort(var.github_environments[each.key == "plan" ? "plan" : "apply"]) : "repo:${var.github_repository}:environment:${environment}"]
        } }
      }
      ], [
      for provider in each.key == "plan" ? aws_iam_openid_connect_provider.github[*].arn : [] : {
        Sid       = "PullRequestsOfTheRepository"
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = provider }
        Condition = { StringEquals = {
          "${local.github}:aud" = "sts.amazonaws.com"
          "${local.github}:sub" = "repo:${var.github_repository}:pull_request"
          "sts:RoleSessionName" = "pull-request"
        } }
      }
    ])
  })
}

resource "aws_iam_policy" "ci_plan" {
  for_each    = { for group, statements in local.plan_statements : group => statements if local.has_ci }
  name        = "${module.names.account.ci_plan_role}-${each.key}"
  description = "What a plan of ${var.project} reads: ${each.key}."
  policy      = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

resource "aws_iam_role_policy_attachment" "ci_plan" {
  for_each   = aws_iam_policy.ci_plan
  role       = aws_iam_role.ci["plan"].name
  policy_arn = each.value.arn
}

# A pull request's session, by the name that the trust demands of it, plans as `mlops plan --preview` does: it leaves nothing that somebody
# might approve or apply.
resource "aws_iam_role_policy" "ci_plan_state" {
  count = local.has_ci ? 1 : 0
  name  = "state"
  role  = aws_iam_role.ci["plan"].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "LockStates"
        Effect    = "Allow"
        Action    = ["s3:DeleteObject", "s3:PutObject"]
        Resource  = "${module.state_bucket.arn}/*.tflock"
        Condition = { StringNotLike = { "aws:userid" = "*:pull-request" } }
      },
      {
        Sid       = "LeavePlans"
        Effect    = "Allow"
        Action    = ["s3:PutObject"]
        Resource  = "${module.state_bucket.arn}/plans/*"
        Condition = { StringNotLike = { "aws:userid" = "*:pull-request" } }
      },
      {
        Sid      = "UseStateKey"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = aws_kms_key.state.arn
      },
    ]
  })
}

# The ledger's key: looking for drift reads what was released.
resource "aws_iam_role_policy" "ci_plan_ledger" {
  count = local.has_ci ? 1 : 0
  name  = "ledger"
  role  = aws_iam_role.ci["plan"].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "UseDataKey"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = "${local.arn.kms}:key/*"
      Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = module.names.account.data_key_alias } }
    }]
  })
}

# Who answered is what the job is told by GitHub; it writes to CI's own records only.
resource "aws_iam_role_policy" "ci_approve" {
  count = local.has_ci ? 1 : 0
  name  = "permissions"
  role  = aws_iam_role.ci["approve"].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.answer_plans, [{
      Sid      = "WriteAnswersOfTheGate"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = "${module.state_bucket.arn}/approvals/ci/*"
    }])
  })
}

resource "aws_iam_role_policy_attachment" "ci_apply" {
  for_each   = { for group, policy in aws_iam_policy.deployer : group => policy if local.has_ci }
  role       = aws_iam_role.ci["apply"].name
  policy_arn = each.value.arn
}
