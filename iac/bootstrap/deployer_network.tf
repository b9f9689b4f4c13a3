# What the deployer may do to networks: make those of the project, which are tagged as they are made, and change those alone.
locals {
  ec2 = "arn:${local.partition}:ec2:${local.region}:${local.account_id}"

  deployer_network = [
    {
      Sid    = "NewNetworks"
      Effect = "Allow"
      Action = [
        "ec2:CreateFlowLogs", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateVpc",
        "ec2:CreateVpcEndpoint",
      ]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestTag/Project" = var.project } }
    },
    {
      Sid    = "OwnNetworks"
      Effect = "Allow"
      Action = [
        "ec2:AssociateRouteTable", "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateFlowLogs", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateVpcEndpoint",
        "ec2:DeleteFlowLogs", "ec2:DeleteRouteTable", "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags",
        "ec2:DeleteVpc", "ec2:DeleteVpcEndpoints", "ec2:DisassociateRouteTable", "ec2:ModifySecurityGroupRules",
        "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:RevokeSecurityGroupEgress",
        "ec2:RevokeSecurityGroupIngress", "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
        "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
      ]
      Resource  = "${local.ec2}:*"
      Condition = local.own_keys
    },
    {
      # Rules are made within an own security group, which the statement above asks for.
      Sid      = "NewRules"
      Effect   = "Allow"
      Action   = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"]
      Resource = "${local.ec2}:security-group-rule/*"
    },
    {
      # A network comes with a security group that nobody makes; tagging it is what makes it the project's.
      Sid       = "TagNetworks"
      Effect    = "Allow"
      Action    = ["ec2:CreateTags"]
      Resource  = "${local.ec2}:*"
      Condition = { StringEquals = { "aws:RequestTag/Project" = var.project } }
    },
    {
      # An interface endpoint's names are a private zone of AWS's.
      Sid      = "NameEndpoints"
      Effect   = "Allow"
      Action   = ["route53:AssociateVPCWithHostedZone"]
      Resource = "arn:${local.partition}:route53:::hostedzone/*"
    },
    {
      # These actions have no resource type, or are asked of all.
      Sid    = "SeeNetworks"
      Effect = "Allow"
      Action = [
        "ec2:DescribeAvailabilityZones", "ec2:DescribeFlowLogs", "ec2:DescribeNetworkAcls", "ec2:DescribeNetworkInterfaces",
        "ec2:DescribePrefixLists", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs",
      ]
      Resource = "*"
    },
  ]
}
