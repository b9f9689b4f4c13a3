data "aws_prefix_list" "gateway" {
  for_each = local.gateways
  name     = "com.amazonaws.${var.context.region}.${each.key}"
}

resource "aws_security_group" "workloads" {
  name        = "${var.name}-workloads"
  description = "Training and processing jobs, endpoints."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-workloads" }
}

resource "aws_security_group" "functions" {
  name        = "${var.name}-functions"
  description = "Lambda functions."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-functions" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints of AWS services."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-endpoints" }
}

# The containers of one job talk to each other; encrypted, that is IPsec, which is no TCP port.
resource "aws_vpc_security_group_ingress_rule" "between_workloads" {
  security_group_id            = aws_security_group.workloads.id
  description                  = "The other instances of a job."
  referenced_security_group_id = aws_security_group.workloads.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "between_workloads" {
  security_group_id            = aws_security_group.workloads.id
  description                  = "The other instances of a job."
  referenced_security_group_id = aws_security_group.workloads.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "to_gateways" {
  for_each          = merge([for group, id in local.clients : { for gateway in keys(local.gateways) : "${group}-${gateway}" => [id, gateway] }]...)
  security_group_id = each.value[0]
  description       = "${each.value[1]} by its gateway."
  prefix_list_id    = data.aws_prefix_list.gateway[each.value[1]].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "to_endpoints" {
  for_each                     = local.clients
  security_group_id            = each.value
  description                  = "AWS services by their endpoints."
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each                     = local.clients
  security_group_id            = aws_security_group.endpoints.id
  description                  = "From ${each.key}."
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

locals {
  clients = {
    workloads = aws_security_group.workloads.id
    functions = aws_security_group.functions.id
  }
}
