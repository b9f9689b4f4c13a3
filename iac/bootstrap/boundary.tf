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
        Action   = ["s3:ListBucket"]
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
          "lambda:InvokeFunction", "sns:Publish", "sqs:SendMessage", "states:DescribeExecution", "states:StartExecution",
          "states:StopExecution",
        ]
        Resource = [
          "${local.arn.lambda}:function:${var.project}-*", "${local.arn.sns}:${var.project}-*", "${local.arn.sqs}:${var.project}-*",
          "${local.arn.states}:execution:${var.project}-*", "${local.arn.states}:stateMachine:${var.project}-*",
        ]
      },
      {
        # Answering a task has no resource type; a role that is waited for has rules of Step Functions' own.
        Sid      = "Waiting"
        Effect   = "Allow"
        Action   = ["events:DescribeRule", "events:PutRule", "events:PutTargets", "states:SendTaskSuccess"]
        Resource = "*"
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
          "sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints", "sagemaker:ListModels", "sagemaker:ListProcessingJobs",
          "sagemaker:ListTags", "sagemaker:ListTrainingJobs", "sagemaker:StopProcessingJob", "sagemaker:StopTrainingJob",
          "sagemaker:UpdateEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:UpdateModelPackage",
        ]
        Resource = "*"
      },
      {
        Sid    = "Scaling"
        Effect = "Allow"
        Action = [
          "application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget",
          "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies",
          "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget",
          "application-autoscaling:TagResource",
        ]
        Resource = "*"
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
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetAuthorizationToken",
          "ecr:GetDownloadUrlForLayer",
        ]
        Resource = "*"
      },
      {
        Sid    = "Telemetry"
        Effect = "Allow"
        Action = [
          "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm", "cloudwatch:PutMetricData",
          "logs:CreateLogDelivery", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
          "logs:DescribeLogStreams", "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries",
          "logs:PutLogEvents", "logs:PutResourcePolicy", "logs:UpdateLogDelivery", "tag:GetResources",
        ]
        Resource = "*"
      },
      {
        # What SageMaker and Lambda do in a role to put a container or a function into a subnet; the roles' own policies
        # say which subnets.
        Sid    = "Network"
        Effect = "Allow"
        Action = [
          "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
          "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission", "ec2:DescribeDhcpOptions",
          "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
          "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = "*"
      },
    ]
  })
}
