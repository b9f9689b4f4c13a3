mock_provider "aws" {
  source = "../testing"
}

variables {
  approver_principals       = ["arn:aws:iam::123456789012:user/bob"]
  data_scientist_principals = ["arn:aws:iam::123456789012:user/alice"]
  deployer_principals       = ["arn:aws:iam::123456789012:user/carol"]
}

run "a_role_needs_the_boundary_to_be_made" {
  command = apply

  assert {
    condition = one([
      for statement in jsondecode(aws_iam_policy.deployer["security"].policy).Statement : statement.Condition
      if contains(statement.Action, "iam:CreateRole")
    ]) == { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }
    error_message = "The deployer must not make a role without the boundary."
  }
  assert {
    condition = alltrue([
      for role in ["mlops-deployer", "mlops-approver", "mlops-data-scientist", "mlops-ci-plan", "mlops-ci-approve", "mlops-ci-apply"] : alltrue([
        for pattern in local.environment_roles : !can(regex("^${replace(pattern, "*", ".*")}$", "arn:aws:iam::123456789012:role/${role}"))
      ])
    ])
    error_message = "The deployer's own role and those of people and of CI are none that it may change."
  }
  assert {
    condition     = alltrue([for policy in merge(aws_iam_policy.deployer, { boundary = aws_iam_policy.boundary }) : length(replace(policy.policy, " ", "")) <= 6144])
    error_message = "A managed policy has at most 6,144 characters."
  }
}

run "ci_roles_are_pinned_to_the_repository_and_its_environments" {
  command = apply

  variables {
    github_repository = "example/mlops"
  }

  assert {
    condition = {
      for name, role in aws_iam_role.ci :
      name => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"]
      } == {
      plan    = ["repo:example/mlops:environment:plan"]
      approve = [for name in ["core", "production", "staging"] : "repo:example/mlops:environment:${name}"]
      apply   = [for name in ["core", "production", "staging"] : "repo:example/mlops:environment:${name}"]
    }
    error_message = "Only jobs of the repository's own environments may take on a CI role."
  }
  assert {
    condition = {
      for name, role in aws_iam_role.ci : name => [
        for statement in jsondecode(role.assume_role_policy).Statement : statement.Condition.StringEquals if statement.Sid == "PullRequestsOfTheRepository"
      ]
      } == {
      plan = [{
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = "repo:example/mlops:pull_request"
        "sts:RoleSessionName"                     = "pull-request"
      }]
      approve = []
      apply   = []
    }
    error_message = "A pull request of the repository may plan, under a name of its own, and no more."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.ci_plan_state[0].policy).Statement : try(statement.Condition.StringNotLike["aws:userid"], "") == "*:pull-request"
      if contains(statement.Action, "s3:PutObject")
    ])
    error_message = "A pull request leaves no plan and holds no lock."
  }
  assert {
    condition = alltrue(flatten([
      for policy in aws_iam_policy.ci_plan : [
        for statement in jsondecode(policy.policy).Statement : [
          for action in statement.Action : can(regex(":(Describe|Get|List|Validate|View)", action))
        ]
      ]
    ]))
    error_message = "A plan only reads."
  }
}

run "only_the_repositorys_retraining_uploads_for_ci" {
  command = apply

  variables {
    github_repository = "example/mlops"
  }

  assert {
    condition = jsondecode(aws_iam_role.data_scientist.assume_role_policy).Statement[1].Condition.StringEquals == {
      "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
      "token.actions.githubusercontent.com:sub" = ["repo:example/mlops:environment:retrain"]
    }
    error_message = "CI uploads only from the repository's environment for retraining."
  }
}

run "a_jenkins_alone_has_ci_roles_too" {
  command = apply

  variables {
    jenkins_principals = ["arn:aws:iam::123456789012:role/agents"]
  }

  assert {
    condition = toset([
      for role in concat(values(aws_iam_role.ci), [aws_iam_role.data_scientist]) :
      one([for statement in jsondecode(role.assume_role_policy).Statement : statement.Principal.AWS if statement.Sid == "AgentsOfJenkins"])[0]
    ]) == toset(["arn:aws:iam::123456789012:role/agents"])
    error_message = "The agents take on each role of CI and the data scientist's."
  }
  assert {
    condition     = length(aws_iam_role.ci) == 3 && length(aws_iam_openid_connect_provider.github) == 0
    error_message = "Without a repository nothing trusts GitHub."
  }
}

run "ci_signs_only_where_there_is_ci" {
  command = plan

  variables {
    github_repository = "example/mlops"
  }

  assert {
    condition     = local.signers == ["mlops-approver", "mlops-ci-approve"]
    error_message = "With a repository, the role behind CI's gates signs beside the approver."
  }
}

run "plans_are_short_lived" {
  command = plan

  variables {
    plans_expiry_days = 31
  }

  expect_failures = [var.plans_expiry_days]
}

run "a_role_is_nobodys" {
  command = plan

  variables {
    approver_principals       = []
    data_scientist_principals = []
    deployer_principals       = []
  }

  expect_failures = [var.approver_principals, var.data_scientist_principals, var.deployer_principals]
}

run "a_whole_account_is_refused" {
  command = plan

  variables {
    approver_principals       = ["arn:aws:iam::123456789012:root"]
    data_scientist_principals = ["123456789012"]
    deployer_principals       = ["arn:aws:iam::123456789012:role/*"]
  }

  expect_failures = [var.approver_principals, var.data_scientist_principals, var.deployer_principals]
}

run "a_person_bears_the_users_name" {
  command = plan

  assert {
    condition = {
      for role in [aws_iam_role.approver, aws_iam_role.data_scientist, aws_iam_role.deployer] :
      role.name => jsondecode(role.assume_role_policy).Statement
      } == {
      for role, name in { mlops-approver = "bob", mlops-data-scientist = "alice", mlops-deployer = "carol" } : role => [{
        Sid       = "UsersUnderTheirOwnName"
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { AWS = ["arn:aws:iam::123456789012:user/${name}"] }
        Condition = { StringEquals = { "sts:RoleSessionName" = "$${aws:username}" } }
      }]
    }
    error_message = "A session whose name can be chosen could approve its own work."
  }
}

run "a_person_who_comes_by_a_role_keeps_the_name" {
  command = plan

  variables {
    approver_principals = [
      "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Approvers_0123456789abcdef",
      "arn:aws:iam::123456789012:user/bob",
    ]
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role.approver.assume_role_policy).Statement : {
        who   = [for arn in statement.Principal.AWS : reverse(split("/", arn))[0]]
        under = statement.Condition
      }
      ] == [
      { who = ["bob"], under = { StringEquals = { "sts:RoleSessionName" = "$${aws:username}" } } },
      { who = ["AWSReservedSSO_Approvers_0123456789abcdef"], under = { StringLike = { "aws:userid" = "*:$${sts:RoleSessionName}" } } },
    ]
    error_message = "Who comes by a role, from IAM Identity Center for example, must keep that session's name."
  }
}

run "only_the_approver_signs" {
  command = plan

  assert {
    condition = one([
      for statement in jsondecode(aws_kms_key.approval.policy).Statement : statement if statement.Effect == "Deny"
      ]) == {
      Sid       = "OnlyApproversSign"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "kms:Sign"
      Resource  = "*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = ["arn:aws:iam::123456789012:role/mlops-approver"] } }
    }
    error_message = "The approval key must refuse everyone but the approver role."
  }
}

run "the_deployer_neither_opens_nor_empties_what_stands_above_it" {
  command = plan

  assert {
    condition = {
      for statement in local.deployer_statements.storage : statement.Sid => statement.Resource
      if contains(["BucketsAboveIt", "LedgerAboveIt"], statement.Sid) && statement.Effect == "Deny"
      } == {
      BucketsAboveIt = ["arn:aws:s3:::mlops-tfstate-123456789012", "arn:aws:s3:::mlops-access-logs-123456789012"]
      LedgerAboveIt  = "arn:aws:s3:::mlops-ledger-123456789012/*"
    }
    error_message = "The deployer, and so CI, must be refused the administrator's buckets and the ledger's entries, whatever else allows them."
  }
  assert {
    condition = alltrue([
      for needed in ["s3:PutBucketPolicy", "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning", "s3:DeleteBucket", "s3:BypassGovernanceRetention", "s3:PutObject", "s3:DeleteObjectVersion"] :
      contains(flatten([for statement in local.deployer_statements.storage : statement.Action if endswith(statement.Sid, "AboveIt") && statement.Sid != "AnswersAboveIt"]), needed)
    ])
    error_message = "An action that opens or empties is missing from what the deployer is refused."
  }
}
