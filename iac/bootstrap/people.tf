# The roles that people take on, and who may: each by name, never a whole account. A session must bear the name of the user, or
# of the role's session, who opened it: the name that the pipeline records as author or approver cannot be chosen.
locals {
  person_trust = {
    for role, principals in {
      approver       = var.approver_principals
      data_scientist = var.data_scientist_principals
      deployer       = var.deployer_principals
      } : role => [
      for statement in [
        {
          Sid       = "UsersUnderTheirOwnName"
          Effect    = "Allow"
          Action    = "sts:AssumeRole"
          Principal = { AWS = [for arn in sort(principals) : arn if strcontains(arn, ":user/")] }
          Condition = { StringEquals = { "sts:RoleSessionName" = "$${aws:username}" } }
        },
        {
          # The user's id of a role's session is <role's id>:<session's name>, and no session's name has a colon.
          Sid       = "RolesUnderTheirSessionsName"
          Effect    = "Allow"
          Action    = "sts:AssumeRole"
          Principal = { AWS = [for arn in sort(principals) : arn if strcontains(arn, ":role/")] }
          Condition = { StringLike = { "aws:userid" = "*:$${sts:RoleSessionName}" } }
        },
      ] : statement if length(statement.Principal.AWS) > 0
    ]
  }

  # Retraining in CI uploads what is in the repository; the job names its session after whom it acts for.
  data_scientist_trust = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.person_trust.data_scientist, local.jenkins_trust, [
      for provider in aws_iam_openid_connect_provider.github[*].arn : {
        Sid       = "RetrainingJobsOfTheRepository"
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = provider }
        Condition = { StringEquals = {
          "${local.github}:aud" = "sts.amazonaws.com"
          "${local.github}:sub" = [for environment in sort(var.github_environments.retrain) : "repo:${var.github_repository}:environment:${environment}"]
        } }
      }
    ])
  })

  environments = { for environment, names in module.environment_names : environment => names.environment }
  s3           = "arn:${local.partition}:s3:::"
  ledger       = "${local.s3}${module.names.account.ledger_bucket}"
  prefixes     = values(local.environments)[*].prefix
  # Where models are retrained and answered for.
  staging = local.environments["staging"]
  # Every model's, because this root is applied once and models come and go.
  model_packages = ["${local.arn.sagemaker}:model-package/${local.staging.prefix}-*/*"]
  machines       = ["${local.staging.prefix}-retraining-*", "${local.environments["production"].prefix}-release-*"]

  # What answering for a plan needs, a person's and CI's.
  answer_plans = [
    {
      # Without a condition: what is not there must be told from what may not be read.
      Sid      = "ListPlans"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = module.state_bucket.arn
    },
    {
      Sid      = "ReadPlans"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [for folder in ["applied", "plans", "rejections"] : "${module.state_bucket.arn}/${folder}/*"]
    },
    {
      Sid      = "RejectPlans"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = "${module.state_bucket.arn}/rejections/*"
    },
    {
      Sid      = "UseStateKey"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = aws_kms_key.state.arn
    },
    {
      Sid      = "SignApprovals"
      Effect   = "Allow"
      Action   = ["kms:Sign"]
      Resource = aws_kms_key.approval.arn
    },
  ]

  # What both need to know where things are (terraform output) and how a run stands.
  read_runs = [
    {
      # Without a condition: what is not there must be told from what may not be read.
      Sid      = "ListStates"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = module.state_bucket.arn
    },
    {
      Sid      = "ReadEnvironmentStates"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [for key in ["environment", "workspaces/*/environment"] : "${module.state_bucket.arn}/${key}/terraform.tfstate"]
    },
    {
      Sid      = "DecryptStates"
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = aws_kms_key.state.arn
    },
    {
      Sid       = "UseDataKey"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = "${local.arn.kms}:key/*"
      Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = module.names.account.data_key_alias } }
    },
    {
      Sid      = "ReadRuns"
      Effect   = "Allow"
      Action   = ["dynamodb:GetItem", "dynamodb:Scan"]
      Resource = "${local.arn.dynamodb}:table/${local.staging.runs_table}"
    },
    {
      Sid      = "FollowExecutions"
      Effect   = "Allow"
      Action   = ["states:GetExecutionHistory"]
      Resource = [for machine in local.machines : "${local.arn.states}:execution:${machine}:*"]
    },
    {
      Sid    = "SeeWhatServes"
      Effect = "Allow"
      Action = ["sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModelPackage"]
      Resource = concat(local.model_packages, [
        for pair in setproduct(["endpoint", "endpoint-config"], local.prefixes) : "${local.arn.sagemaker}:${pair[0]}/${pair[1]}-*"
      ])
    },
    {
      Sid      = "SeeWhereItCameFrom"
      Effect   = "Allow"
      Action   = ["sagemaker:ListTags"]
      Resource = [for prefix in local.prefixes : "${local.arn.sagemaker}:endpoint-config/${prefix}-*"]
    },
    {
      Sid      = "SeeWhoApproved"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = "${local.ledger}/approvals/*"
    },
  ]
}

resource "aws_iam_role" "data_scientist" {
  name                 = module.names.account.data_scientist_role
  description          = "Uploads datasets and follows the runs that they start."
  max_session_duration = 3600
  assume_role_policy   = local.data_scientist_trust
}

resource "aws_iam_role_policy" "data_scientist" {
  name = "permissions"
  role = aws_iam_role.data_scientist.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.read_runs, [
      {
        Sid      = "UploadDatasets"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = "${local.s3}${local.staging.data_bucket}/datasets/*"
      },
      {
        Sid      = "ReadEvidence"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.s3}${local.staging.models_bucket}/runs/*/evaluation/*"
      },
      {
        Sid      = "ReadRefusals"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.s3}${local.staging.data_bucket}/quarantine/*"
      },
      {
        Sid      = "ReadDatasets"
        Effect   = "Allow"
        Action   = ["s3:GetObjectVersion"]
        Resource = "${local.s3}${local.staging.data_bucket}/datasets/*"
      },
      {
        Sid      = "ReadModels"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.s3}${local.staging.models_bucket}/runs/*/training/*"
      },
      {
        Sid       = "ListDatasets"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = "${local.s3}${local.staging.data_bucket}"
        Condition = { StringLike = { "s3:prefix" = ["datasets/*", "quarantine/*"] } }
      },
    ])
  })
}

resource "aws_iam_role" "approver" {
  name                 = module.names.account.approver_role
  description          = "Reads the evidence of a run and approves or rejects its model."
  max_session_duration = 3600
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = local.person_trust.approver })
}

resource "aws_iam_role_policy" "approver" {
  name = "permissions"
  role = aws_iam_role.approver.name
  policy = jsonencode({
    Version = "2012-10-17"
    # The runs are found by the state that answering for plans lists and decrypts already.
    Statement = concat([for statement in local.read_runs : statement if !contains(["DecryptStates", "ListStates"], statement.Sid)], local.answer_plans, [
      {
        # Under the name of the session, which is the person's own: nobody answers in another's name.
        Sid      = "WriteOwnAnswers"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = "${module.state_bucket.arn}/approvals/people/*/$${aws:userid}.json"
      },
      {
        Sid      = "ReadEvidence"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.s3}${local.staging.models_bucket}/runs/*/evaluation/*"
      },
      {
        Sid      = "AnswerForModelPackages"
        Effect   = "Allow"
        Action   = ["sagemaker:UpdateModelPackage"]
        Resource = local.model_packages
      },
      {
        Sid      = "WriteApprovals"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = "${local.ledger}/approvals/*"
      },
      {
        Sid      = "ReadLedger"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.ledger}/ledger/*"
      },
      {
        Sid       = "ListLedger"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = local.ledger
        Condition = { StringLike = { "s3:prefix" = ["approvals/*", "ledger/*"] } }
      },
    ])
  })
}
