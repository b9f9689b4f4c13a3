# What each function may do, beyond writing its log and using the data key. A function serves all models of its environment,
# so that the environment's prefix is the border.
locals {
  aws = {
    for service in ["dynamodb", "logs", "sagemaker", "states"] :
    service => "arn:${var.context.partition}:${service}:${var.context.region}:${var.context.account_id}"
  }
  s3             = "arn:${var.context.partition}:s3:::"
  data           = "${local.s3}${var.names.data_bucket}"
  models         = "${local.s3}${var.names.models_bucket}"
  run_artefacts  = "${local.s3}${var.runs.models_bucket}/runs/*"
  ledger         = "${local.s3}${var.ledger_bucket}"
  state          = "${local.s3}${var.state.bucket}"
  runs_table     = "${local.aws.dynamodb}:table/${var.runs.runs_table}"
  model_packages = "${local.aws.sagemaker}:model-package/${var.runs.prefix}-*/*"
  # What releases make: SageMaker models, endpoint configurations and endpoints that start with the environment's prefix.
  released = {
    for kind in ["model", "endpoint-config", "endpoint"] : kind => "${local.aws.sagemaker}:${kind}/${var.names.prefix}-*"
  }

  # A scalable target has no name that a policy could tell from another.
  scaling = "arn:${var.context.partition}:application-autoscaling:${var.context.region}:${var.context.account_id}:scalable-target/*"

  # Those that write objects, or that events call, whose failures go to the encrypted dead-letter queue.
  writers = ["validate", "authorise", "record", "note_plans", "expire", "answer_gate", "reconcile"]
  encrypt = {
    Sid      = "Encrypt"
    Effect   = "Allow"
    Action   = ["kms:GenerateDataKey"]
    Resource = var.kms_key_arn
  }

  verify_approvals = {
    Sid      = "VerifyApprovals"
    Effect   = "Allow"
    Action   = ["kms:Verify"]
    Resource = var.approval_key_arn
  }
  read_model_packages = {
    Sid      = "ReadModelPackages"
    Effect   = "Allow"
    Action   = ["sagemaker:DescribeModelPackage"]
    Resource = local.model_packages
  }
  read_model_config = {
    Sid      = "ReadModelConfiguration"
    Effect   = "Allow"
    Action   = ["s3:GetObject"]
    Resource = "${local.models}/config/*"
  }
  read_runs = {
    Sid      = "ReadRuns"
    Effect   = "Allow"
    Action   = ["dynamodb:GetItem"]
    Resource = local.runs_table
  }
  update_runs = {
    Sid      = "UpdateRuns"
    Effect   = "Allow"
    Action   = ["dynamodb:UpdateItem"]
    Resource = local.runs_table
  }

  list_datasets = {
    Sid       = "ListDatasets"
    Effect    = "Allow"
    Action    = ["s3:ListBucketVersions"]
    Resource  = local.data
    Condition = { StringLike = { "s3:prefix" = "datasets/*" } }
  }

  # Where a release needs an approval.
  use_approvals = [
    local.read_runs,
    local.verify_approvals,
    {
      Sid      = "UseApprovalsUp"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject"]
      Resource = "${local.ledger}/approvals/*"
    },
    {
      Sid       = "TellAbsentApprovals"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = local.ledger
      Condition = { StringLike = { "s3:prefix" = "approvals/*" } }
    },
  ]

  append_to_ledger = [
    {
      Sid      = "AppendToLedger"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject"]
      Resource = "${local.ledger}/ledger/*"
    },
    {
      Sid       = "FindEndOfLedger"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = local.ledger
      Condition = { StringLike = { "s3:prefix" = "ledger/*" } }
    },
  ]

  statements = {
    claim = [
      {
        Sid      = "ClaimRuns"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
        Resource = local.runs_table
      },
      local.list_datasets,
    ]

    validate = [
      local.read_model_config,
      local.read_runs,
      local.update_runs,
      {
        Sid      = "ReadDatasets"
        Effect   = "Allow"
        Action   = ["s3:GetObjectVersion"]
        Resource = "${local.data}/datasets/*"
      },
      {
        Sid      = "Quarantine"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = "${local.data}/quarantine/*"
      },
      {
        Sid      = "KeepTrainingData"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = "${local.models}/runs/*/train/*"
      },
      {
        Sid      = "ReadChampion"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${local.models}/runs/*/train/profile.json", "${local.models}/runs/*/training/*"]
      },
      {
        Sid      = "CopyChampion"
        Effect   = "Allow"
        Action   = ["s3:GetObjectVersion"]
        Resource = "${local.models}/runs/*/training/*"
      },
      {
        Sid      = "KeepChampion"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = "${local.models}/runs/*/champion/*"
      },
    ]

    judge = [
      local.read_model_config,
      local.update_runs,
      {
        Sid      = "ReadResults"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = local.run_artefacts
      },
    ]

    open_gate = [local.update_runs]

    answer_gate = [
      local.read_runs,
      local.read_model_packages,
      local.verify_approvals,
      {
        Sid      = "ReadApprovals"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.ledger}/approvals/*"
      },
      {
        # Answering a task has no resource type: the token itself says which execution.
        Sid      = "AnswerTheWaitingTask"
        Effect   = "Allow"
        Action   = ["states:SendTaskSuccess"]
        Resource = "*"
      },
    ]

    authorise = concat([for statement in local.use_approvals : statement if var.approval_required], [
      local.read_model_packages,
      {
        Sid      = "ReadCandidates"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = local.run_artefacts
      },
      {
        Sid      = "KeepReleases"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = "${local.models}/releases/*"
      },
    ]),

    deploy = [
      # The lease of an endpoint stands in the runs table; it is free when the execution that took it has ended.
      local.read_runs,
      local.update_runs,
      {
        Sid      = "SeeOtherReleases"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution"]
        Resource = "${local.aws.states}:execution:${var.names.prefix}-release-*:*"
      },
      {
        Sid    = "MakeEndpoints"
        Effect = "Allow"
        Action = [
          "sagemaker:AddTags", "sagemaker:CreateEndpoint", "sagemaker:CreateEndpointConfig", "sagemaker:CreateModel",
          "sagemaker:DeleteEndpoint", "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig",
          "sagemaker:DescribeModel", "sagemaker:ListTags", "sagemaker:UpdateEndpoint",
        ]
        Resource = values(local.released)
      },
      {
        Sid      = "HoldScaling"
        Effect   = "Allow"
        Action   = ["application-autoscaling:DeregisterScalableTarget"]
        Resource = local.scaling
      },
      {
        # This action has no resource type.
        Sid      = "SeeScaling"
        Effect   = "Allow"
        Action   = ["application-autoscaling:DescribeScalableTargets"]
        Resource = "*"
      },
      {
        Sid       = "HandServingRoleToSageMaker"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = "arn:${var.context.partition}:iam::${var.context.account_id}:role/${var.names.prefix}-serving-*"
        Condition = { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } }
      },
      {
        Sid       = "EncryptVolumes"
        Effect    = "Allow"
        Action    = ["kms:CreateGrant", "kms:DescribeKey"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "sagemaker.${var.context.region}.amazonaws.com" } }
      },
    ]

    smoke = [
      local.read_model_config,
      {
        Sid      = "CallEndpoints"
        Effect   = "Allow"
        Action   = ["sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"]
        Resource = local.released["endpoint"]
      },
    ]

    scale = [
      {
        Sid      = "Scale"
        Effect   = "Allow"
        Action   = ["application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget"]
        Resource = local.scaling
      },
      {
        # SageMaker and CloudWatch ask whoever registers for what Application Auto Scaling will do.
        Sid      = "ScaleEndpoints"
        Effect   = "Allow"
        Action   = ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"]
        Resource = local.released["endpoint"]
      },
      {
        Sid      = "SeeEndpointConfigurations"
        Effect   = "Allow"
        Action   = ["sagemaker:DescribeEndpointConfig"]
        Resource = local.released["endpoint-config"]
      },
      {
        Sid    = "ScaleByAlarms"
        Effect = "Allow"
        Action = ["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm"]
        # Application Auto Scaling chooses these names.
        Resource = "arn:${var.context.partition}:cloudwatch:${var.context.region}:${var.context.account_id}:alarm:TargetTracking-endpoint/${var.names.prefix}-*"
      },
      {
        # The first endpoint of an account that scales needs this role.
        Sid       = "MakeScalingRole"
        Effect    = "Allow"
        Action    = ["iam:CreateServiceLinkedRole"]
        Resource  = "arn:${var.context.partition}:iam::${var.context.account_id}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*"
        Condition = { StringEquals = { "iam:AWSServiceName" = "sagemaker.application-autoscaling.amazonaws.com" } }
      },
    ]

    rollback = [
      # Only who holds the lease brings anything back.
      local.read_runs,
      local.update_runs,
      {
        Sid    = "UndoReleases"
        Effect = "Allow"
        Action = [
          "sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel",
          "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel",
          "sagemaker:UpdateEndpoint",
        ]
        Resource = values(local.released)
      },
      {
        # The way back is a tag of the configuration.
        Sid      = "SeeWaysBack"
        Effect   = "Allow"
        Action   = ["sagemaker:ListTags"]
        Resource = local.released["endpoint-config"]
      },
    ]

    expire = concat(local.append_to_ledger, [
      {
        # Listing asks for all of a kind.
        Sid      = "FindWhatReleasesMade"
        Effect   = "Allow"
        Action   = ["sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints", "sagemaker:ListModels"]
        Resource = "*"
      },
      {
        Sid    = "RemoveWhatReleasesMade"
        Effect = "Allow"
        Action = [
          "sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel",
          "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig",
        ]
        Resource = values(local.released)
      },
      {
        Sid      = "SeeWhatWentBefore"
        Effect   = "Allow"
        Action   = ["sagemaker:ListTags"]
        Resource = local.released["endpoint-config"]
      },
      {
        Sid      = "FindScaling"
        Effect   = "Allow"
        Action   = ["application-autoscaling:DescribeScalableTargets"]
        Resource = "*"
      },
      {
        Sid      = "StopScaling"
        Effect   = "Allow"
        Action   = ["application-autoscaling:DeregisterScalableTarget"]
        Resource = local.scaling
      },
    ])

    reconcile = concat(local.append_to_ledger, [
      local.list_datasets,
      local.read_runs,
      {
        Sid      = "StartRetraining"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = "${local.aws.states}:stateMachine:${var.names.prefix}-retraining-*"
      },
      local.update_runs,
      {
        Sid      = "FindRuns"
        Effect   = "Allow"
        Action   = ["dynamodb:Scan"]
        Resource = local.runs_table
      },
      {
        Sid      = "SeeExecutions"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution"]
        Resource = "${local.aws.states}:execution:${var.names.prefix}-retraining-*:*"
      },
    ])

    record = concat([local.update_runs], local.append_to_ledger)

    note_plans = concat(local.append_to_ledger, [
      local.verify_approvals,
      {
        # What became of plans; neither states nor the plans themselves.
        Sid    = "ReadRecords"
        Effect = "Allow"
        Action = ["s3:GetObject"]
        Resource = [
          for keys in ["plans/*/manifest.json", "approvals/*", "rejections/*", "applied/*", "ended/*"] : "${local.state}/${keys}"
        ]
      },
      {
        Sid       = "FindRecords"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = local.state
        Condition = { StringLike = { "s3:prefix" = ["plans/*", "approvals/*", "rejections/*", "applied/*", "ended/*"] } }
      },
      {
        Sid       = "DecryptRecords"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = "arn:${var.context.partition}:kms:${var.context.region}:${var.context.account_id}:key/*"
        Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = var.state.key_alias } }
      },
      {
        Sid      = "NoteWhatIsEntered"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = "${local.ledger}/noted/*"
      },
      {
        Sid       = "FindWhatIsEntered"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = local.ledger
        Condition = { StringLike = { "s3:prefix" = "noted/*" } }
      },
    ])
  }
}
