"""What a killed apply made but could not write down, found again, so that the next plan imports it.

Flow 1 (merge to main). Terraform writes its state some seconds after AWS has answered; killed in between, it
would fail for ever on a name that is taken, or make a second network or key beside the first.

What a create call would only write over (a role's policy, a rule, an alarm, a bucket's settings, a queue or
topic with the same attributes) needs no import and is not looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import Aws

_ABSENT = {"NotFoundException", "ResourceNotFoundException"}


@dataclass(frozen=True)
class Orphan:
    """A resource that is there and not in the state; `id` is what Terraform imports it by."""

    address: str
    id: str


def find_orphans(aws: Aws, plan: Mapping[str, Any], *, account_id: str) -> list[Orphan]:
    """Of what the plan would create, what is there already. `plan` is Terraform's JSON of it."""
    place = _Place(aws, account_id)
    # An id that stands in the state is no orphan: its address has changed, and that is the code's business.
    known = set(_list_known(plan))
    orphans = []
    for resource in _list_creations(plan):
        lookup = _LOOKUPS.get(resource["type"])
        found = lookup(place, resource["change"]["after"]) if lookup else None
        if found and (resource["type"], found) not in known:
            orphans.append(Orphan(resource["address"], found))
    return orphans


def find_vanished(plan: Mapping[str, Any], orphans: Sequence[Orphan]) -> list[str]:
    """Addresses that the state still gives to something that is gone: nothing is imported there."""
    drifts = plan.get("resource_drift", [])
    gone = {drift["address"] for drift in drifts if drift["change"]["actions"] == ["delete"]}
    return [orphan.address for orphan in orphans if orphan.address in gone]


def render_imports(orphans: Sequence[Orphan]) -> dict[str, Any]:
    """The import blocks, as a Terraform file in JSON."""
    return {"import": [{"to": orphan.address, "id": orphan.id} for orphan in orphans]}


def _list_creations(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in plan.get("resource_changes", []):
        if resource["change"]["actions"] == ["create"]:
            yield resource


def _list_known(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    modules = [plan.get("prior_state", {}).get("values", {}).get("root_module", {})]
    for module in modules:
        modules.extend(module.get("child_modules", []))
        for resource in module.get("resources", []):
            for member in ("id", "arn"):
                yield resource["type"], resource["values"].get(member)


@dataclass
class _Place:
    """One account and region, each listing of which is asked for once."""

    aws: Aws
    account_id: str
    _listed: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def list(self, service: str, operation: str, found: str, **parameters: Any) -> list[Any]:
        key = (operation, repr(parameters))
        if key not in self._listed:
            pages = self.aws.client(service).get_paginator(operation).paginate(**parameters)
            # An answer without the list gives one None.
            self._listed[key] = [one for one in pages.search(found) if one is not None]
        return self._listed[key]


# What makes of a planned resource the id it is imported by, or None where there is none like it.
_Lookup = Callable[[_Place, Mapping[str, Any]], str | None]


def _by_name(
    service: str, operation: str, found: str, *, attribute: str = "name", **parameters: Any
) -> _Lookup:
    """For names that only one can have. `found` lists (name, import id)."""

    def look_up(place: _Place, after: Mapping[str, Any]) -> str | None:
        ids = dict(place.list(service, operation, found, **parameters))
        return ids.get(after.get(attribute))

    return look_up


def _by_tags(operation: str, found: str, id_member: str, **equal: str) -> _Lookup:
    """For EC2, where a name is a tag. `equal` says which member must be which planned attribute."""

    def look_up(place: _Place, after: Mapping[str, Any]) -> str | None:
        wanted = {member: after.get(attribute) for member, attribute in equal.items()}
        tags = after.get("tags_all")
        # An attribute that is not known yet belongs to something that is itself still to be imported.
        if not tags or None in wanted.values():
            return None
        for one in place.list("ec2", operation, found):
            has = {t["Key"]: t["Value"] for t in one.get("Tags", []) if not t["Key"].startswith("aws:")}
            if has == tags and all(one.get(member) == value for member, value in wanted.items()):
                return str(one[id_member])
        return None

    return look_up


def _find_key(place: _Place, after: Mapping[str, Any]) -> str | None:
    """A key has no name: the one with the same tags and description that is not to be deleted."""
    tags = after.get("tags_all") or {}
    filters = [{"Key": name, "Values": [value]} for name, value in sorted(tags.items())]
    arns = place.list(
        "resourcegroupstaggingapi",
        "get_resources",
        "ResourceTagMappingList[].ResourceARN",
        TagFilters=filters,
        ResourceTypeFilters=["kms:key"],
    )
    for arn in arns if tags else []:
        key = place.aws.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
        if key["KeyState"] == "Enabled" and key.get("Description") == after.get("description"):
            return str(key["KeyId"])
    return None


def _find_permission(place: _Place, after: Mapping[str, Any]) -> str | None:
    function, statement_id = after.get("function_name"), after.get("statement_id")
    if not function or not statement_id:
        return None
    try:
        policy = place.aws.client("lambda").get_policy(FunctionName=function)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise
    # It is JSON, in which a statement's id is quoted.
    return f"{function}/{statement_id}" if f'"{statement_id}"' in policy else None


def _find_budget(place: _Place, after: Mapping[str, Any]) -> str | None:
    request = {"AccountId": place.account_id, "BudgetName": after["name"]}
    try:
        place.aws.client("budgets").describe_budget(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise
    return f"{place.account_id}:{after['name']}"


def _find_association(place: _Place, after: Mapping[str, Any]) -> str | None:
    subnet, table = after.get("subnet_id"), after.get("route_table_id")
    tables = place.list("ec2", "describe_route_tables", "RouteTables[]")
    pairs = {(one.get("SubnetId"), one["RouteTableId"]) for t in tables for one in t.get("Associations", [])}
    return f"{subnet}/{table}" if (subnet, table) in pairs else None


def _find_provider(place: _Place, after: Mapping[str, Any]) -> str | None:
    answer = place.aws.client("iam").list_open_id_connect_providers()
    arns = [str(one["Arn"]) for one in answer["OpenIDConnectProviderList"]]
    ending = after["url"].removeprefix("https://")
    return next((arn for arn in arns if arn.endswith(f":oidc-provider/{ending}")), None)


def _find_rule(*, is_egress: bool) -> _Lookup:
    """Within one group each rule of a direction has a description of its own."""

    def look_up(place: _Place, after: Mapping[str, Any]) -> str | None:
        wanted = (is_egress, after.get("security_group_id"), after.get("description"))
        for rule in place.list("ec2", "describe_security_group_rules", "SecurityGroupRules[]"):
            if (rule["IsEgress"], rule["GroupId"], rule.get("Description")) == wanted:
                return str(rule["SecurityGroupRuleId"])
        return None

    return look_up


_LOOKUPS: Mapping[str, _Lookup] = {
    "aws_budgets_budget": _find_budget,
    "aws_cloudtrail": _by_name("cloudtrail", "list_trails", "Trails[].[Name, TrailARN]"),
    "aws_cloudwatch_log_group": _by_name(
        "logs", "describe_log_groups", "logGroups[].[logGroupName, logGroupName]"
    ),
    "aws_dynamodb_table": _by_name("dynamodb", "list_tables", "TableNames[].[@, @]"),
    "aws_ecr_repository": _by_name(
        "ecr", "describe_repositories", "repositories[].[repositoryName, repositoryName]"
    ),
    "aws_flow_log": _by_tags("describe_flow_logs", "FlowLogs[]", "FlowLogId", ResourceId="vpc_id"),
    "aws_iam_openid_connect_provider": _find_provider,
    "aws_iam_policy": _by_name("iam", "list_policies", "Policies[].[PolicyName, Arn]", Scope="Local"),
    "aws_iam_role": _by_name("iam", "list_roles", "Roles[].[RoleName, RoleName]"),
    "aws_kms_alias": _by_name("kms", "list_aliases", "Aliases[].[AliasName, AliasName]"),
    "aws_kms_key": _find_key,
    "aws_lambda_function": _by_name(
        "lambda", "list_functions", "Functions[].[FunctionName, FunctionName]", attribute="function_name"
    ),
    "aws_lambda_permission": _find_permission,
    "aws_route_table": _by_tags("describe_route_tables", "RouteTables[]", "RouteTableId", VpcId="vpc_id"),
    "aws_route_table_association": _find_association,
    # Ours only: another account may have a bucket of that name.
    "aws_s3_bucket": _by_name("s3", "list_buckets", "Buckets[].[Name, Name]", attribute="bucket"),
    "aws_sagemaker_model_package_group": _by_name(
        "sagemaker",
        "list_model_package_groups",
        "ModelPackageGroupSummaryList[].[ModelPackageGroupName, ModelPackageGroupName]",
        attribute="model_package_group_name",
    ),
    "aws_security_group": _by_tags(
        "describe_security_groups", "SecurityGroups[]", "GroupId", VpcId="vpc_id", GroupName="name"
    ),
    "aws_sfn_state_machine": _by_name(
        "stepfunctions", "list_state_machines", "stateMachines[].[name, stateMachineArn]"
    ),
    "aws_subnet": _by_tags(
        "describe_subnets", "Subnets[]", "SubnetId", VpcId="vpc_id", CidrBlock="cidr_block"
    ),
    "aws_vpc": _by_tags("describe_vpcs", "Vpcs[]", "VpcId", CidrBlock="cidr_block"),
    "aws_vpc_endpoint": _by_tags(
        "describe_vpc_endpoints",
        "VpcEndpoints[]",
        "VpcEndpointId",
        VpcId="vpc_id",
        ServiceName="service_name",
    ),
    "aws_vpc_security_group_egress_rule": _find_rule(is_egress=True),
    "aws_vpc_security_group_ingress_rule": _find_rule(is_egress=False),
}
