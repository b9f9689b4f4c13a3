terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "= 5.100.0"
    }
  }
  # Bucket and region come from the command line. No `encrypt = true`: without a key id it asks for AES256 and so
  # overrides the bucket's own default, which is KMS.
  backend "s3" {
    key          = "bootstrap/terraform.tfstate"
    use_lockfile = true
  }
}
