"""IAM: which network resources an EC2 request is about, in which VPC, and with which tags it makes new ones.

AWS: a request is about every resource that it names and about the kind that it makes; the tags in its
    TagSpecifications are `aws:RequestTag` for what it makes, not for what it names; `ec2:Vpc` is the VPC that
    an interface, subnet or group belongs to; requests that describe have no resource ["Actions, resources,
    and condition keys for Amazon EC2"].
ministack: takes the first name that it finds for the only resource, reads no TagSpecifications and knows no
    `ec2:Vpc`; so a role that is held to its project's tag or to one VPC can do nothing.
Hook: `core/iam_actions.py::extract_resource_arn`, `::request_tag_context`, `core/iam_evaluator.py::enforce`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import ec2

from localaws.mends import iam_resources
from localaws.mends.iam_resources import Request
from localaws.mends.tagging_coverage import EC2_TYPES

VERSION = "1.5.33"

MAKES = {
    "CreateFlowLogs": "vpc-flow-log",
    "CreateNetworkInterface": "network-interface",
    "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group",
    "CreateSubnet": "subnet",
    "CreateVpc": "vpc",
    "CreateVpcEndpoint": "vpc-endpoint",
}
_IDENTITY = re.compile(rf"({'|'.join(EC2_TYPES)})-[0-9a-f]+")
# What a request names without being about it: a rule's other side, filters, tags.
_NOT_MEANT = ("Filter.", "IpPermissions.", "Tag")
_NEW_TAG = re.compile(r"(TagSpecification\.\d+\.Tag\.\d+)\.Key")


def apply() -> None:
    """Makes IAM decide on networks as AWS does."""
    tag_context, enforce = iam_actions.request_tag_context, iam_evaluator.enforce

    def request_tags(service: str, action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = tag_context(service, action, body, params)
        return context | new_tags(params) if service == "ec2" else context

    def enforce_own(
        access_key_id: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        context = service_context or {}
        if action.partition(":")[2] in MAKES and not resource_arn.endswith("/*"):
            context = {key: value for key, value in context.items() if not key.startswith("aws:requesttag/")}
        if vpc := vpc_of(resource_arn):
            context = {**context, "ec2:vpc": vpc}
        return enforce(access_key_id, action, service, region, resource_arn, context)

    iam_actions.request_tag_context = request_tags
    iam_evaluator.enforce = enforce_own
    iam_resources.RESOURCES["ec2"] = network_resources


def network_resources(request: Request) -> list[str]:
    """What the request makes, and what it names."""
    if request.operation.startswith("Describe"):
        return ["*"]
    made = MAKES.get(request.operation)
    found = [request.arn("ec2", f"{made}/*")] if made else []
    for name, value in request.members.items():
        identity = _table_of(str(value)) if name == "AssociationId" else str(value)
        match = _IDENTITY.fullmatch(identity)
        if match and not name.startswith(_NOT_MEANT):
            found.append(request.arn("ec2", f"{EC2_TYPES[match[1]]}/{identity}"))
    return found


def vpc_of(resource_arn: str) -> str | None:
    """The ARN of the VPC that a network resource belongs to."""
    before, _, identity = resource_arn.rpartition("/")
    stores = {
        "network-interface": ec2._network_interfaces,
        "security-group": ec2._security_groups,
        "subnet": ec2._subnets,
    }
    store = stores.get(before.rpartition(":")[2], {}) if ":ec2:" in before else {}
    found = store.get(identity)
    return f"{before.rpartition(':')[0]}:vpc/{found['VpcId']}" if found else None


def new_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """`aws:RequestTag` of each tag that new resources are to bear."""
    names = [match for name in params if (match := _NEW_TAG.fullmatch(name))]
    pairs = {_first(params[match[0]]): _first(params.get(f"{match[1]}.Value", "")) for match in names}
    return {f"aws:RequestTag/{key}".lower(): value for key, value in pairs.items()}


def _table_of(association: str) -> str:
    """The route table of an association."""
    for identity, table in ec2._route_tables.items():
        if any(item.get("RouteTableAssociationId") == association for item in table["Associations"]):
            return str(identity)
    return association


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value)
