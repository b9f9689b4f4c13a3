module "names" {
  source      = "../.."
  project     = "mlops"
  account_id  = "123456789012"
  environment = "staging"
  models      = ["iris"]
}

output "endpoint" {
  value = module.names.environment.models["iris"].endpoint # mlops-staging-iris
}
