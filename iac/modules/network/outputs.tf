output "workloads" {
  description = "Where jobs and endpoints run: vpc_id, subnet_ids (one per zone, in the order of zones) and security_group_ids."
  value = {
    vpc_id             = aws_vpc.this.id
    subnet_ids         = local.subnet_ids
    security_group_ids = [aws_security_group.workloads.id]
  }
}

output "functions" {
  description = "Where functions run: vpc_id, subnet_ids and security_group_ids."
  value = {
    vpc_id             = aws_vpc.this.id
    subnet_ids         = local.subnet_ids
    security_group_ids = [aws_security_group.functions.id]
  }
}

locals {
  subnet_ids = [for zone in var.zones : aws_subnet.private[zone].id]
}
