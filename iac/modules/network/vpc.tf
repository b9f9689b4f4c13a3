# A network without a way out: no internet gateway, no NAT, no peering. Whatever is not an endpoint of it cannot be reached.
resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # the interface endpoints' private names
  tags                 = { Name = var.name }
}

resource "aws_subnet" "private" {
  for_each                = { for index, zone in var.zones : zone => cidrsubnet(var.cidr, 4, index) }
  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

# What a subnet or an interface would get that nobody gave anything: nothing.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-closed" }
}
