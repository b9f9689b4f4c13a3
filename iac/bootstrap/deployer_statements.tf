locals {
  own_buckets = "arn:${local.partition}:s3:::${var.project}-*-${local.account_id}"
  own_objects = "${local.own_buckets}/*"
  # The models bucket of any environment.
  own_models_buckets = "arn:${local.partition}:s3:::${var.project}-*-models-${local.account_id}"
  # What Terraform makes roles for; those of people, of CI and the deployer's own do not begin so.
  environment_roles = [for prefix in local.prefixes : "arn:${local.partition}:iam::${local.account_id}:role/${prefix}-*"]
  own_keys          = { StringEquals = { "aws:ResourceTag/Project" = var.project } }

  deployer_statements = {
    network = local.deployer_network

    storage = [
      {
        Sid    = "Buckets"
        Effect = "Allow"
        Action = [
          "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:GetAccelerateConfiguration",
          "s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLocation", "s3:GetBucketLogging", "s3:GetBucketNotification",
          "s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy",
          "s3:GetBucketPublicAccessBlock", "s3:GetBucketRequestPayment", "s3:GetBucketTagging", "s3:GetBucketVersioning",
          "s3:GetBucketWebsite", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
          "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads",
          "s3:PutBucketLogging", "s3:PutBucketNotification", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketOwnershipControls",
          "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging", "s3:PutBucketVersioning",
          "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
        ]
        Resource = local.own_buckets
      },
      {
        # To destroy an environment its buckets must be emptied. The ledger is none of them.
        Sid      = "EmptyBucketsOfEnvironments"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource = [for prefix in local.prefixes : "arn:${local.partition}:s3:::${prefix}-*-${local.account_id}/*"]
      },
      {
        Sid      = "ReleaseStateLocks"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = "${module.state_bucket.arn}/*.tflock"
      },
      {
        # Answers stand above the deployer, who finds them beside its plans.
        Sid      = "AnswersAboveIt"
        Effect   = "Deny"
        Action   = ["s3:PutObject"]
        Resource = ["${module.state_bucket.arn}/approvals/*", "${module.state_bucket.arn}/rejections/*"]
      },
      {
        # Made by the administrator, who alone decides what they keep and who gets at them.
        Sid    = "BucketsAboveIt"
        Effect = "Deny"
        Action = [
          "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy",
          "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
        ]
        Resource = [for name in [module.names.account.state_bucket, module.names.account.access_logs_bucket] : "arn:${local.partition}:s3:::${name}"]
      },
      {
        # Its bucket is core's; what stands in it is written by the machinery and taken away by nobody, whatever the bucket's policy says.
        Sid    = "LedgerAboveIt"
        Effect = "Deny"
        Action = [
          "s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject", "s3:PutObjectLegalHold",
          "s3:PutObjectRetention",
        ]
        Resource = "${local.ledger}/*"
      },
      {
        Sid      = "ReadLedger"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.ledger}/*"
      },
      {
        # States, model configuration and the functions' package; neither datasets nor approvals nor models.
        Sid    = "WriteWhatTerraformOwns"
        Effect = "Allow"
        Action = ["s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectTagging"]
        Resource = [
          "${module.state_bucket.arn}/*",
          "${local.own_models_buckets}/config/*",
          "${local.own_models_buckets}/functions/*",
        ]
      },
      {
        Sid    = "Tables"
        Effect = "Allow"
        Action = [
          "dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable",
          "dynamodb:DescribeTimeToLive", "dynamodb:GetItem", "dynamodb:ListTagsOfResource",
          "dynamodb:Scan", "dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:UpdateContinuousBackups",
          "dynamodb:UpdateTable",
        ]
        Resource = "${local.arn.dynamodb}:table/${var.project}-*"
      },
      {
        Sid    = "Repositories"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchDeleteImage", "ecr:BatchGetImage", "ecr:CompleteLayerUpload",
          "ecr:CreateRepository", "ecr:DeleteRepository", "ecr:DescribeImages",
          "ecr:InitiateLayerUpload", "ecr:ListImages", "ecr:ListTagsForResource",
          "ecr:PutImage", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:TagResource",
          "ecr:UntagResource", "ecr:UploadLayerPart",
        ]
        Resource = "${local.arn.ecr}:repository/${var.project}-*"
      },
      {
        Sid      = "RegistryLogin"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = "*"
      },
    ]

    security = [
      {
        Sid       = "MakeRolesWithinTheBoundary"
        Effect    = "Allow"
        Action    = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
        Resource  = local.environment_roles
        Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }
      },
      {
        Sid    = "KeepRoles"
        Effect = "Allow"
        Action = [
          "iam:DeleteRole", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
          "iam:ListRolePolicies", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
          "iam:UpdateRoleDescription",
        ]
        Resource = local.environment_roles
      },
      {
        Sid      = "HandRolesToServices"
        Effect   = "Allow"
        Action   = ["iam:PassRole"]
        Resource = local.environment_roles
        Condition = { StringEquals = { "iam:PassedToService" = [
          "cloudtrail.amazonaws.com", "events.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com",
          "vpc-flow-logs.amazonaws.com",
        ] } }
      },
      {
        Sid       = "NewKeys"
        Effect    = "Allow"
        Action    = ["kms:CreateKey", "kms:TagResource"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestTag/Project" = var.project } }
      },
      {
        Sid    = "Keys"
        Effect = "Allow"
        Action = [
          "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:EnableKeyRotation", "kms:Encrypt", "kms:GenerateDataKey",
          "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:GetPublicKey", "kms:ListResourceTags", "kms:PutKeyPolicy",
          "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription", "kms:Verify",
          "kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias",
        ]
        Resource  = "${local.arn.kms}:key/*"
        Condition = local.own_keys
      },
      {
        # The keys that this root makes stand above the deployer: it uses the one and verifies by the other.
        Sid    = "KeysAboveIt"
        Effect = "Deny"
        Action = [
          "kms:CreateAlias", "kms:CreateGrant", "kms:DeleteAlias", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource",
          "kms:UntagResource", "kms:UpdateAlias", "kms:UpdateKeyDescription",
        ]
        Resource = concat([aws_kms_key.approval.arn, aws_kms_key.state.arn], [
          for alias in [module.names.account.approval_key_alias, module.names.account.state_key_alias] : "${local.arn.kms}:${alias}"
        ])
      },
      {
        Sid      = "KeyAliases"
        Effect   = "Allow"
        Action   = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
        Resource = "${local.arn.kms}:alias/${var.project}-*"
      },
      {
        Sid    = "Trails"
        Effect = "Allow"
        Action = [
          "cloudtrail:AddTags", "cloudtrail:CreateTrail", "cloudtrail:DeleteTrail",
          "cloudtrail:GetEventSelectors",
          "cloudtrail:GetTrailStatus", "cloudtrail:ListTags", "cloudtrail:PutEventSelectors", "cloudtrail:RemoveTags",
          "cloudtrail:StartLogging", "cloudtrail:StopLogging", "cloudtrail:UpdateTrail",
        ]
        Resource = "${local.arn.cloudtrail}:trail/${var.project}-*"
      },
    ]

    events = [
      {
        Sid    = "Rules"
        Effect = "Allow"
        Action = [
          "events:DeleteRule", "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule",
          "events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:TagResource", "events:UntagResource",
        ]
        Resource = "${local.arn.events}:rule/${var.project}-*"
      },
      {
        Sid    = "Queues"
        Effect = "Allow"
        Action = [
          "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:ListQueueTags",
          "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue",
        ]
        Resource = "${local.arn.sqs}:${var.project}-*"
      },
      {
        Sid    = "Alarms"
        Effect = "Allow"
        Action = [
          "cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource",
          "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource",
        ]
        Resource = "${local.arn.cloudwatch}:alarm:${var.project}-*"
      },
      {
        # Dashboards belong to no region.
        Sid      = "Dashboards"
        Effect   = "Allow"
        Action   = ["cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:PutDashboard"]
        Resource = "arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${var.project}-*"
      },
      {
        Sid    = "Topics"
        Effect = "Allow"
        Action = [
          "sns:CreateTopic", "sns:DeleteTopic", "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes",
          "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:Subscribe",
          "sns:TagResource", "sns:Unsubscribe", "sns:UntagResource",
        ]
        Resource = "${local.arn.sns}:${var.project}-*"
      },
      {
        Sid    = "Budgets"
        Effect = "Allow"
        Action = ["budgets:ListTagsForResource", "budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource",
        "budgets:ViewBudget"]
        Resource = "arn:${local.partition}:budgets::${local.account_id}:budget/${var.project}-*"
      },
      {
        Sid    = "LogGroups"
        Effect = "Allow"
        Action = [
          "logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteLogStream",
          "logs:DeleteRetentionPolicy", "logs:DescribeLogStreams", "logs:DisassociateKmsKey", "logs:ListTagsForResource", "logs:PutRetentionPolicy", "logs:TagResource",
          "logs:UntagResource",
        ]
        Resource = [for path in ["/aws/cloudtrail/${var.project}-*", "/aws/lambda/${var.project}-*", "/aws/sagemaker/*", "/aws/vendedlogs/states/${var.project}-*", "/aws/vpc/${var.project}-*"] :
        "${local.arn.logs}:log-group:${path}"]
      },
      {
        # Vended logs of a state machine: these actions have no resource type.
        Sid    = "LogDelivery"
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeResourcePolicies", "logs:GetLogDelivery",
          "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ]
        Resource = "*"
      },
    ]

    compute = [
      {
        Sid    = "Functions"
        Effect = "Allow"
        Action = [
          "lambda:AddPermission", "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:DeleteFunctionConcurrency", "lambda:GetFunction",
          "lambda:GetFunctionCodeSigningConfig", "lambda:GetFunctionConfiguration", "lambda:GetPolicy",
          "lambda:ListTags", "lambda:ListVersionsByFunction", "lambda:PutFunctionConcurrency", "lambda:RemovePermission",
          "lambda:TagResource", "lambda:UntagResource", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
        ]
        Resource = "${local.arn.lambda}:function:${var.project}-*"
      },
      {
        Sid    = "StateMachines"
        Effect = "Allow"
        Action = [
          "states:CreateStateMachine", "states:DeleteStateMachine", "states:DescribeStateMachine", "states:ListExecutions",
          "states:ListStateMachineVersions", "states:ListTagsForResource", "states:TagResource",
          "states:UntagResource", "states:UpdateStateMachine",
        ]
        Resource = "${local.arn.states}:stateMachine:${var.project}-*"
      },
      {
        Sid      = "Executions"
        Effect   = "Allow"
        Action   = ["states:GetExecutionHistory", "states:StopExecution"]
        Resource = "${local.arn.states}:execution:${var.project}-*"
      },
      {
        # The machine says what becomes of a dead letter. The others are started by events alone.
        Sid    = "RedriveDeadLetters"
        Effect = "Allow"
        Action = ["states:DescribeExecution", "states:StartExecution"]
        Resource = flatten([for names in values(local.environments) :
        ["${local.arn.states}:execution:${names.redrive}:*", "${local.arn.states}:stateMachine:${names.redrive}"]])
      },
      {
        # No resource type exists for validating a definition.
        Sid      = "ValidateDefinitions"
        Effect   = "Allow"
        Action   = ["states:ValidateStateMachineDefinition"]
        Resource = "*"
      },
      {
        # What releases made: seen by the commands, removed by destroy.
        Sid    = "Models"
        Effect = "Allow"
        Action = [
          "sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel", "sagemaker:DescribeEndpoint",
          "sagemaker:DescribeEndpointConfig", "sagemaker:InvokeEndpoint",
        ]
        Resource = [for kind in ["endpoint", "endpoint-config", "model"] : "${local.arn.sagemaker}:${kind}/${var.project}-*"]
      },
      {
        Sid      = "SeeWhereItCameFrom"
        Effect   = "Allow"
        Action   = ["sagemaker:ListTags"]
        Resource = [for kind in ["endpoint", "endpoint-config"] : "${local.arn.sagemaker}:${kind}/${var.project}-*"]
      },
      {
        Sid    = "ModelPackageGroups"
        Effect = "Allow"
        Action = [
          "sagemaker:AddTags", "sagemaker:CreateModelPackageGroup", "sagemaker:DeleteModelPackageGroup", "sagemaker:DeleteTags",
          "sagemaker:DescribeModelPackageGroup", "sagemaker:ListTags",
        ]
        Resource = "${local.arn.sagemaker}:model-package-group/${var.project}-*"
      },
      {
        Sid      = "ModelPackages"
        Effect   = "Allow"
        Action   = ["sagemaker:DeleteModelPackage", "sagemaker:DescribeModelPackage"]
        Resource = "${local.arn.sagemaker}:model-package/${var.project}-*/*"
      },
    ]

    # What is there: to find what is left after a destroy, or was made by an apply that died. These actions have no resource type, or are asked of all.
    inventory = [
      {
        Sid    = "FindResources"
        Effect = "Allow"
        Action = [
          "application-autoscaling:DescribeScalableTargets", "cloudtrail:DescribeTrails", "cloudtrail:ListTrails",
          "cloudwatch:DescribeAlarms", "cloudwatch:ListDashboards", "dynamodb:ListTables", "ecr:DescribeRepositories", "events:ListRules",
          "iam:ListPolicies", "iam:ListRoles", "kms:ListAliases", "lambda:ListFunctions", "logs:DescribeLogGroups",
          "s3:ListAllMyBuckets", "sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints",
          "sagemaker:ListModelPackageGroups", "sagemaker:ListModelPackages", "sagemaker:ListModels",
          "sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs", "sns:ListTopics", "sqs:ListQueues",
          "states:ListStateMachines", "tag:GetResources",
        ]
        Resource = "*"
      },
      {
        # Jobs bear the name of their run, which begins with the model's name.
        Sid    = "SeeAndStopJobs"
        Effect = "Allow"
        Action = [
          "sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopProcessingJob",
          "sagemaker:StopTrainingJob",
        ]
        Resource = ["${local.arn.sagemaker}:processing-job/*", "${local.arn.sagemaker}:training-job/*"]
      },
      {
        Sid      = "EndScaling"
        Effect   = "Allow"
        Action   = ["application-autoscaling:DeregisterScalableTarget"]
        Resource = "arn:${local.partition}:application-autoscaling:${local.region}:${local.account_id}:scalable-target/*"
      },
    ]
  }
}
