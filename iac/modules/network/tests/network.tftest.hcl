mock_provider "aws" {
  source = "../../testing"
}

variables {
  context = {
    partition    = "aws"
    region       = "us-east-1"
    account_id   = "123456789012"
    boundary_arn = "arn:aws:iam::123456789012:policy/mlops-boundary"
  }
  name                = "mlops-production-network"
  cidr                = "10.20.16.0/20"
  zones               = ["us-east-1a", "us-east-1b"]
  buckets             = ["mlops-production-models-123456789012"]
  tables              = ["mlops-staging-runs"]
  interface_endpoints = ["kms", "states"]
  kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days  = 365
}

run "each_zone_has_a_subnet_of_its_own" {
  command = apply

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { us-east-1a = "10.20.16.0/24", us-east-1b = "10.20.17.0/24" }
    error_message = "Two zones have two subnets that do not overlap: one zone may fail."
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.private : !subnet.map_public_ip_on_launch])
    error_message = "No subnet gives public addresses."
  }
  assert {
    condition     = length(output.workloads.subnet_ids) == 2 && length(output.functions.subnet_ids) == 2
    error_message = "Both outputs name all subnets."
  }
}

run "nothing_leaves_but_by_an_endpoint" {
  command = apply

  assert {
    condition     = length(aws_route_table.private.route) == 0
    error_message = "No route leads out: the gateways add their own."
  }
  assert {
    condition = alltrue(concat(
      [for rule in aws_vpc_security_group_egress_rule.to_gateways : rule.cidr_ipv4 == null && rule.prefix_list_id != null && rule.from_port == 443],
      [for rule in aws_vpc_security_group_egress_rule.to_endpoints : rule.cidr_ipv4 == null && rule.referenced_security_group_id != null && rule.from_port == 443],
    ))
    error_message = "What leaves a security group goes to S3, DynamoDB or an endpoint, by HTTPS."
  }
  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["kms", "states"] && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "The interface endpoints are those asked for, under the services' own names."
  }
}

run "a_gateway_leads_to_the_named_buckets_and_tables_of_this_account" {
  command = apply

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_vpc_endpoint.gateway["s3"].policy).Statement :
      statement.Resource == "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*" && statement.Action == ["s3:GetObject"] ||
      statement.Resource == ["arn:aws:s3:::mlops-production-models-123456789012", "arn:aws:s3:::mlops-production-models-123456789012/*"] &&
      try(statement.Condition.StringEquals["aws:PrincipalAccount"] == "123456789012", false)
    ])
    error_message = "S3's gateway leads to the named buckets, and to nobody else's but ECR's layers."
  }
  assert {
    condition = [
      for statement in jsondecode(aws_vpc_endpoint.gateway["dynamodb"].policy).Statement : statement.Resource
    ] == [["arn:aws:dynamodb:us-east-1:123456789012:table/mlops-staging-runs"]]
    error_message = "DynamoDB's gateway leads to the named tables."
  }
  assert {
    condition = alltrue([
      for endpoint in concat(values(aws_vpc_endpoint.gateway), values(aws_vpc_endpoint.interface)) :
      anytrue([for statement in jsondecode(endpoint.policy).Statement : try(statement.Condition.StringEquals["aws:PrincipalAccount"] == "123456789012", false)])
    ])
    error_message = "Every way out asks for a principal of this account."
  }
}

run "every_connection_is_logged_and_the_log_is_encrypted" {
  command = apply

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flow.kms_key_id == var.kms_key_arn
    error_message = "The flow log holds all traffic and is encrypted."
  }
  assert {
    condition     = aws_default_security_group.this.vpc_id == aws_vpc.this.id && length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "The network's own security group is closed."
  }
}

run "one_zone_is_refused" {
  command = plan

  variables {
    zones = ["us-east-1a"]
  }

  expect_failures = [var.zones]
}

run "the_same_zone_twice_is_refused" {
  command = plan

  variables {
    zones = ["us-east-1a", "us-east-1a"]
  }

  expect_failures = [var.zones]
}

run "every_bucket_of_the_world_is_refused" {
  command = plan

  variables {
    buckets = ["*"]
  }

  expect_failures = [var.buckets]
}

run "a_service_that_has_a_gateway_gets_no_interface" {
  command = plan

  variables {
    interface_endpoints = ["s3"]
  }

  expect_failures = [var.interface_endpoints]
}

run "a_range_too_small_for_six_zones_is_refused" {
  command = plan

  variables {
    cidr = "10.20.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "the_example_plans" {
  command = plan

  module {
    source = "./examples/basic"
  }
  providers = { aws = aws }
}
