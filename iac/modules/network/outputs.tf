output "workloads" {
  description = "Where jobs and endpoints run: subnet_ids (in the order of zones), security_group_ids, and role_statements, the IAM statements (JSON) that their roles need for it."
  value = {
    subnet_ids         = local.subnet_ids
    security_group_ids = [aws_security_group.workloads.id]
    role_statements    = jsonencode(local.workload_statements)
  }
}

output "functions" {
  description = "Where functions run: subnet_ids, security_group_ids, and role_statements, the IAM statements (JSON) that their roles need for it."
  value = {
    subnet_ids         = local.subnet_ids
    security_group_ids = [aws_security_group.functions.id]
    role_statements    = jsonencode(local.function_statements)
  }
}

locals {
  subnet_ids = [for zone in var.zones : aws_subnet.private[zone].id]
}
