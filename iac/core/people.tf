# The two roles that people take on. A session must bear the name of the user who opened it: the name that the pipeline
# records as author or approver cannot be chosen.
locals {
  person_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "SessionBearsTheUsersName"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = local.account_principal }
      Condition = { StringEquals = { "sts:RoleSessionName" = "$${aws:username}" } }
    }]
  })

  environment_names = { for environment, names in module.names : environment => names.environment }
  s3                = "arn:${local.partition}:s3:::"
  state_bucket      = "${local.s3}${local.names.state_bucket}"
  aws               = { for service in ["dynamodb", "sagemaker", "states"] : service => "arn:${local.partition}:${service}:${local.region}:${local.account_id}" }
  state_machines = flatten([
    for names in local.environment_names : [for model in names.models : [model.retraining_state_machine, model.release_state_machine]]
  ])
  model_packages = flatten([
    for names in local.environment_names :
    [for model in names.models : "${local.aws.sagemaker}:model-package/${model.model_package_group}/*"]
  ])

  # What both need to know where things are (terraform output) and how a run stands.
  read_runs = [
    {
      Sid       = "ListStates"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = local.state_bucket
      Condition = { StringLike = { "s3:prefix" = ["workspaces/*"] } }
    },
    {
      Sid      = "ReadEnvironmentStates"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = "${local.state_bucket}/workspaces/*/environment/terraform.tfstate"
    },
    {
      Sid       = "DecryptStates"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = "arn:${local.partition}:kms:${local.region}:${local.account_id}:key/*"
      Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = local.names.state_key_alias } }
    },
    {
      Sid      = "UseDataKey"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = aws_kms_key.data.arn
    },
    {
      Sid      = "ReadRuns"
      Effect   = "Allow"
      Action   = ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"]
      Resource = [for names in local.environment_names : "${local.aws.dynamodb}:table/${names.runs_table}"]
    },
    {
      Sid      = "FindExecutions"
      Effect   = "Allow"
      Action   = ["states:ListExecutions"]
      Resource = [for machine in local.state_machines : "${local.aws.states}:stateMachine:${machine}"]
    },
    {
      Sid      = "FollowExecutions"
      Effect   = "Allow"
      Action   = ["states:DescribeExecution", "states:GetExecutionHistory"]
      Resource = [for machine in local.state_machines : "${local.aws.states}:execution:${machine}:*"]
    },
    {
      Sid    = "SeeWhatServes"
      Effect = "Allow"
      Action = [
        "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel",
        "sagemaker:DescribeModelPackage", "sagemaker:ListTags",
      ]
      Resource = concat(local.model_packages, [
        for pair in setproduct(["endpoint", "endpoint-config", "model"], values(local.environment_names)[*].prefix) :
        "${local.aws.sagemaker}:${pair[0]}/${pair[1]}-*"
      ])
    },
    {
      Sid      = "SeeWhoApproved"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = "${aws_s3_bucket.ledger.arn}/approvals/*"
    },
  ]
}

resource "aws_iam_role" "data_scientist" {
  name                 = local.names.data_scientist_role
  description          = "Uploads datasets and follows the runs that they start."
  max_session_duration = 3600
  assume_role_policy   = local.person_trust
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
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
        Resource = [for names in local.environment_names : "${local.s3}${names.data_bucket}/datasets/*"]
      },
      {
        Sid      = "ReadRefusals"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = [for names in local.environment_names : "${local.s3}${names.data_bucket}/quarantine/*"]
      },
      {
        Sid       = "ListDatasets"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [for names in local.environment_names : "${local.s3}${names.data_bucket}"]
        Condition = { StringLike = { "s3:prefix" = ["datasets/*", "quarantine/*"] } }
      },
    ])
  })
}

resource "aws_iam_role" "approver" {
  name                 = local.names.approver_role
  description          = "Reads the evidence of a run and approves or rejects its model."
  max_session_duration = 3600
  assume_role_policy   = local.person_trust
}

resource "aws_iam_role_policy" "approver" {
  name = "permissions"
  role = aws_iam_role.approver.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.read_runs, [
      {
        Sid      = "ReadEvidence"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = [for names in local.environment_names : "${local.s3}${names.models_bucket}/runs/*/evaluation/*"]
      },
      {
        Sid      = "AnswerForModelPackages"
        Effect   = "Allow"
        Action   = ["sagemaker:UpdateModelPackage"]
        Resource = local.model_packages
      },
      {
        Sid      = "SignApprovals"
        Effect   = "Allow"
        Action   = ["kms:GetPublicKey", "kms:Sign", "kms:Verify"]
        Resource = aws_kms_key.approval.arn
      },
      {
        Sid      = "WriteApprovals"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = "${aws_s3_bucket.ledger.arn}/approvals/*"
      },
      {
        Sid      = "ReadLedger"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${aws_s3_bucket.ledger.arn}/ledger/*"
      },
      {
        Sid       = "ListLedger"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = aws_s3_bucket.ledger.arn
        Condition = { StringLike = { "s3:prefix" = ["approvals/*", "ledger/*"] } }
      },
    ])
  })
}
