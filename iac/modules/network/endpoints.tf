# The ways out, each with a policy of its own: whoever gets credentials of another account into the network, or a bucket
# of another account's name out of it, is refused here whatever the roles allow.
locals {
  of_this_account = {
    StringEquals         = { "aws:PrincipalAccount" = var.context.account_id }
    StringEqualsIfExists = { "aws:ResourceAccount" = var.context.account_id } # some actions have no resource
  }

  gateways = {
    s3 = [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = "*"
        Action = [
          "s3:AbortMultipartUpload", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions",
          "s3:PutObject",
        ]
        Resource  = flatten([for bucket in sort(var.buckets) : ["${local.s3}${bucket}", "${local.s3}${bucket}/*"]])
        Condition = local.of_this_account
      },
      {
        # Where ECR keeps the layers of all images in a region: AWS's own bucket, read with signed addresses.
        Sid       = "ImageLayers"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject"]
        Resource  = "${local.s3}prod-${var.context.region}-starport-layer-bucket/*"
      },
    ]
    dynamodb = [
      {
        Sid       = "OwnTables"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"]
        Resource = [for table in sort(var.tables) :
        "arn:${var.context.partition}:dynamodb:${var.context.region}:${var.context.account_id}:table/${table}"]
        Condition = local.of_this_account
      },
    ]
  }

  s3 = "arn:${var.context.partition}:s3:::"
}

resource "aws_vpc_endpoint" "gateway" {
  for_each          = local.gateways
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.context.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy            = jsonencode({ Version = "2012-10-17", Statement = each.value })
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = var.interface_endpoints
  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.context.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = local.subnet_ids
  security_group_ids  = [aws_security_group.endpoints.id]
  # The roles say what may be done; this says for whom and to whom.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OwnAccount"
      Effect    = "Allow"
      Principal = "*"
      Action    = "*"
      Resource  = "*"
      Condition = local.of_this_account
    }]
  })
  tags = { Name = "${var.name}-${each.key}" }
}
