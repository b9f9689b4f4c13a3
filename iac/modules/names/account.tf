# What exists once per account, whatever the environment.
locals {
  account = {
    state_bucket        = "${var.project}-tfstate-${var.account_id}"
    access_logs_bucket  = "${var.project}-access-logs-${var.account_id}"
    state_key_alias     = "alias/${var.project}-tfstate"
    deployer_role       = "${var.project}-deployer"
    ci_plan_role        = "${var.project}-ci-plan"
    ci_approve_role     = "${var.project}-ci-approve"
    ci_apply_role       = "${var.project}-ci-apply"
    boundary_policy     = "${var.project}-boundary"
    ledger_bucket       = "${var.project}-ledger-${var.account_id}"
    data_key_alias      = "alias/${var.project}-data"
    approval_key_alias  = "alias/${var.project}-approval"
    data_scientist_role = "${var.project}-data-scientist"
    approver_role       = "${var.project}-approver"
    repositories        = { for model in var.models : model => "${var.project}-${model}" }
  }
}
