# What a role needs so that AWS may put its instances or its function into these subnets, and into no others.
locals {
  ec2 = "arn:${var.context.partition}:ec2:${var.context.region}:${var.context.account_id}"
  own = { ArnEquals = { "ec2:Vpc" = aws_vpc.this.arn } }

  make_interfaces = {
    for client, group in { workloads = aws_security_group.workloads, functions = aws_security_group.functions } : client => {
      Sid                            = "MakeInterfaces"
      Effect                         = "Allow"
      Action                         = ["ec2:CreateNetworkInterface"]
      Resource                       = concat(["${local.ec2}:network-interface/*", group.arn], [for zone in var.zones : aws_subnet.private[zone].arn])
    }
  }

  workload_statements = [
    local.make_interfaces["workloads"],
    {
      Sid    = "ChangeInterfaces"
      Effect = "Allow"
      Action = [
        "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission",
      ]
      Resource  = "${local.ec2}:network-interface/*"
      Condition = local.own
    },
    {
      # These actions have no resource type.
      Sid    = "SeeNetwork"
      Effect = "Allow"
      Action = [
        "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
      ]
      Resource = "*"
    },
  ]

  function_statements = [
    local.make_interfaces["functions"],
    {
      Sid       = "ChangeInterfaces"
      Effect    = "Allow"
      Action    = ["ec2:AssignPrivateIpAddresses", "ec2:DeleteNetworkInterface", "ec2:UnassignPrivateIpAddresses"]
      Resource  = "${local.ec2}:network-interface/*"
      Condition = local.own
    },
    {
      # These actions have no resource type.
      Sid      = "SeeNetwork"
      Effect   = "Allow"
      Action   = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"]
      Resource = "*"
    },
    {
      # The Lambda service uses these in the function's role; the code has no use for them.
      Sid    = "NotByTheCode"
      Effect = "Deny"
      Action = [
        "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = "*"
      Condition = { ArnLike = {
        "lambda:SourceFunctionArn" = "arn:${var.context.partition}:lambda:${var.context.region}:${var.context.account_id}:function:*"
      } }
    },
  ]
}
