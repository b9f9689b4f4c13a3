# The most that any role which Terraform makes can ever do, whatever its own policy says. The deployer may make no role without
# it and may not change it: neither signing an approval, nor changing a role, nor taking anything back from the ledger is in it.
resource "aws_iam_policy" "boundary" {
  name        = module.names.account.boundary_policy
  description = "The most that a role of ${var.project}'s machinery may do."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
        Resource = local.own_objects
      },
      {
        Sid      = "Listings"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:ListBucketVersions"]
        Resource = local.own_buckets
      },
      {
        Sid      = "Runs"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem"]
        Resource = "${local.arn.dynamodb}:table/${var.project}-*"
      },
      {
        Sid      = "Keys"
        Effect   = "Allow"
        Action   = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey", "kms:Verify"]
        Resource = "${local.arn.kms}:key/*"
      },
      {
        Sid    = "Flow"
        Effect = "Allow"
        Action = [
          "lambda:InvokeFunction", "sns:Publish", "sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage",
          "states:DescribeExecution", "states:StartExecution", "states:StopExecution",
        ]
        Resource = [
          "${local.arn.lambda}:function:${var.project}-*", "${local.arn.sns}:${var.project}-*", "${local.arn.sqs}:${var.project}-*",
          "${local.arn.states}:execution:${var.project}-*", "${local.arn.states}:stateMachine:${var.project}-*",
        ]
      },
      {
        # A role that waits for jobs does so by rules of Step Functions' own.
        Sid      = "Waiting"
        Effect   = "Allow"
        Action   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
        Resource = "${local.arn.events}:rule/StepFunctions*"
      },
      {
        # Jobs bear the name of their run, which begins with the model's name.
        Sid    = "Models"
        Effect = "Allow"
        Action = [
          "sagemaker:AddTags", "sagemaker:CreateEndpoint", "sagemaker:CreateEndpointConfig", "sagemaker:CreateModel",
          "sagemaker:CreateModelPackage", "sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob",
          "sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel", "sagemaker:DescribeEndpoint",
          "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel", "sagemaker:DescribeModelPackage",
          "sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob", "sagemaker:InvokeEndpoint",
          "sagemaker:ListTags", "sagemaker:StopProcessingJob", "sagemaker:StopTrainingJob", "sagemaker:UpdateEndpoint",
          "sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:UpdateModelPackage",
        ]
        Resource = "${local.arn.sagemaker}:*"
      },
      {
        Sid    = "Scaling"
        Effect = "Allow"
        Action = [
          "application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget",
          "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget",
          "application-autoscaling:TagResource",
        ]
        Resource = "arn:${local.partition}:application-autoscaling:${local.region}:${local.account_id}:*"
      },
      {
        Sid       = "ScalingRole"
        Effect    = "Allow"
        Action    = ["iam:CreateServiceLinkedRole"]
        Resource  = "arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*"
        Condition = { StringEquals = { "iam:AWSServiceName" = "sagemaker.application-autoscaling.amazonaws.com" } }
      },
      {
        Sid       = "HandRolesToSageMaker"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = local.environment_roles
        Condition = { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } }
      },
      {
        Sid    = "Images"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer",
        ]
        Resource = "${local.arn.ecr}:repository/${var.project}-*"
      },
      {
        Sid    = "Telemetry"
        Effect = "Allow"
        Action = [
          "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm", "logs:CreateLogGroup",
          "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents",
        ]
        Resource = ["${local.arn.cloudwatch}:alarm:*", "${local.arn.logs}:log-group:/aws/*"]
      },
      {
        # What SageMaker and Lambda do in a role to put a container or a function into a subnet; the roles' own policies
        # say which subnets.
        Sid    = "Network"
        Effect = "Allow"
        Action = [
          "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
          "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission", "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = "arn:${local.partition}:ec2:${local.region}:${local.account_id}:*"
      },
      {
        # These actions have no resource type, or are asked of all.
        Sid    = "Everywhere"
        Effect = "Allow"
        Action = [
          "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies",
          "cloudwatch:PutMetricData", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups",
          "ec2:DescribeSubnets", "ec2:DescribeVpcs", "ecr:GetAuthorizationToken", "logs:CreateLogDelivery",
          "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:GetLogDelivery",
          "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery", "sagemaker:ListEndpointConfigs",
          "sagemaker:ListEndpoints", "sagemaker:ListModels", "sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs",
          "states:SendTaskSuccess", "tag:GetResources", "xray:GetSamplingRules", "xray:GetSamplingTargets",
          "xray:PutTelemetryRecords", "xray:PutTraceSegments",
        ]
        Resource = "*"
      },
    ]
  })
}
