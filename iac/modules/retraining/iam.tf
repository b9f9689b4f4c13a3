locals {
  aws = {
    for service in ["ecr", "events", "logs", "sagemaker", "states"] :
    service => "arn:${var.context.partition}:${service}:${var.context.region}:${var.context.account_id}"
  }
  models                    = "arn:${var.context.partition}:s3:::${var.models_bucket}"
  release_state_machine_arn = "${local.aws.states}:stateMachine:${var.names.release_state_machine}"
  # A run is named <model>-<16 hexadecimal digits>. Its jobs bear its name, then -r2 to -r99 where it was stopped and taken up
  # again, -eval where they evaluate, and -2 to -5 for a later attempt. A star in their place would let iris at iris-large's.
  run = "${var.model}-????????????????"
  jobs = [
    for parts in setproduct(["training-job", "processing-job"], ["", "-r?", "-r??"], ["", "-?"]) :
    "${local.aws.sagemaker}:${parts[0]}/${local.run}${parts[1]}${parts[0] == "processing-job" ? "-eval" : ""}${parts[2]}"
  ]

  vpc_statements = jsondecode(var.vpc == null ? "[]" : var.vpc.role_statements)
}

module "role" {
  source       = "../role"
  name         = var.names.retraining_state_machine
  service      = "states"
  account_id   = var.context.account_id
  boundary_arn = var.context.boundary_arn
  description  = "What the retraining state machine of ${var.model} may do."
  source_arns  = ["${local.aws.states}:stateMachine:${var.names.retraining_state_machine}"]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "CallFunctions"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = [for handler in ["claim", "judge", "open_gate", "record", "validate"] : var.function_arns[handler]]
      },
      {
        Sid    = "RunJobs"
        Effect = "Allow"
        Action = [
          "sagemaker:AddTags", "sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob",
          "sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopProcessingJob",
          "sagemaker:StopTrainingJob",
        ]
        Resource = local.jobs
      },
      {
        Sid       = "HandJobRolesToSageMaker"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [module.training_role.arn, module.processing_role.arn]
        Condition = { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } }
      },
      {
        Sid       = "EncryptVolumes"
        Effect    = "Allow"
        Action    = ["kms:CreateGrant", "kms:DescribeKey"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "sagemaker.${var.context.region}.amazonaws.com" } }
      },
      {
        Sid    = "RegisterCandidates"
        Effect = "Allow"
        Action = ["sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage"]
        Resource = [
          "${local.aws.sagemaker}:model-package-group/${var.names.model_package_group}",
          "${local.aws.sagemaker}:model-package/${var.names.model_package_group}/*",
        ]
      },
      {
        # Registering checks that the model's results and image are there for whoever registers them.
        Sid      = "ShowCandidates"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${local.models}/runs/${local.run}/*"
      },
      {
        Sid      = "ShowImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:DescribeImages"]
        Resource = "${local.aws.ecr}:repository/${var.repository}"
      },
      {
        Sid      = "StartRelease"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = local.release_state_machine_arn
      },
      {
        Sid      = "FollowRelease"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution"]
        Resource = "${local.aws.states}:execution:${var.names.release_state_machine}:*"
      },
      {
        # Step Functions waits for jobs and executions through rules of its own.
        Sid    = "WaitForJobsAndRelease"
        Effect = "Allow"
        Action = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
        Resource = [for rule in ["StepFunctionsGetEventsForSageMakerProcessingJobsRule", "StepFunctionsGetEventsForSageMakerTrainingJobsRule", "StepFunctionsGetEventsForStepFunctionsExecutionRule"] :
        "${local.aws.events}:rule/${rule}"]
      },
      {
        Sid      = "TellUploaders"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = var.alerts_topic_arn
      },
      {
        # The topic is encrypted with our key, on behalf of whoever publishes.
        Sid       = "EncryptNotices"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "sns.${var.context.region}.amazonaws.com" } }
      },
      {
        # These actions have no resource type.
        Sid      = "Trace"
        Effect   = "Allow"
        Action   = ["xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]
        Resource = "*"
      },
      {
        # Vended logs: these actions have no resource type.
        Sid    = "DeliverLogs"
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
          "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ]
        Resource = "*"
      },
    ]
  })
}

module "training_role" {
  source          = "../container_role"
  context         = var.context
  name            = var.names.training_role
  description     = "What the training jobs of ${var.model} may do."
  repository      = var.repository
  kms_key_arn     = var.kms_key_arn
  log_group       = "/aws/sagemaker/TrainingJobs"
  makes_log_group = true
  writes          = true
  statements = concat(local.vpc_statements, [
    {
      Sid      = "ReadTrainingData"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = "${local.models}/runs/${local.run}/train/*"
    },
    {
      Sid       = "FindTrainingData"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = local.models
      Condition = { StringLike = { "s3:prefix" = "runs/${local.run}/train/*" } }
    },
    {
      Sid      = "WriteModel"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
      Resource = "${local.models}/runs/${local.run}/training/*"
    },
    ], [
    for statement in [
      {
        Sid      = "KeepCheckpoints"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        Resource = "${local.models}/runs/${local.run}/checkpoints/*"
      },
      {
        Sid       = "FindCheckpoints"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = local.models
        Condition = { StringLike = { "s3:prefix" = "runs/${local.run}/checkpoints*" } }
      },
    ] : statement if var.training.spot_wait_s != null
  ])
}

module "processing_role" {
  source          = "../container_role"
  context         = var.context
  name            = var.names.processing_role
  description     = "What the evaluation jobs of ${var.model} may do."
  repository      = var.repository
  kms_key_arn     = var.kms_key_arn
  log_group       = "/aws/sagemaker/ProcessingJobs"
  makes_log_group = true
  writes          = true
  statements = concat(local.vpc_statements, [
    {
      Sid    = "ReadModelsAndHoldout"
      Effect = "Allow"
      Action = ["s3:GetObject"]
      Resource = [
        "${local.models}/runs/${local.run}/training/*", "${local.models}/runs/${local.run}/champion/*",
        "${local.models}/config/${var.model}/holdout.csv",
      ]
    },
    {
      Sid      = "FindModelsAndHoldout"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = local.models
      Condition = {
        StringLike = { "s3:prefix" = ["runs/${local.run}/training/*", "runs/${local.run}/champion/*", "config/${var.model}/*"] }
      }
    },
    {
      Sid      = "WriteEvaluation"
      Effect   = "Allow"
      Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
      Resource = "${local.models}/runs/${local.run}/evaluation/*"
    },
  ])
}
