"""Resource Groups Tagging API: every tagged resource of the pipeline is found.

AWS: GetResources finds alarms, log groups, state machines, trails, parameters, secrets and EC2's networks
    by their tags, and aws:ResourceTag is known for them and for repositories and rules ["Services that
    support the Resource Groups Tagging API", "AWS global condition context keys"].
ministack: leaves them out, so that something left over goes unseen; and it keeps the tags of deleted trails
    and networks, which are therefore looked up among what is there.
Hook: `services/tagging.py::_COLLECTORS`, `::_RESOURCE_TAG_COLLECTORS`.

TagResources and UntagResources stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudtrail, cloudwatch, cloudwatch_logs, ec2, stepfunctions, tagging

VERSION = "1.5.33"

Tagged = Iterator[tuple[str, list[dict[str, str]]]]
EC2_TYPES = {
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "i": "instance",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "rtb": "route-table",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
# Where ministack keeps those that are there.
EC2_LIVING = {
    "eni": ec2._network_interfaces,
    "fl": ec2._flow_logs,
    "i": ec2._instances,
    "igw": ec2._internet_gateways,
    "nat": ec2._nat_gateways,
    "rtb": ec2._route_tables,
    "sg": ec2._security_groups,
    "subnet": ec2._subnets,
    "vpc": ec2._vpcs,
    "vpce": ec2._vpc_endpoints,
}


def apply() -> None:
    """Makes tagged resources found."""
    collectors: dict[str, Callable[[], Tagged]] = {
        "cloudtrail": _trails,
        "cloudwatch": _alarms,
        "ec2": _networks,
        "logs": _log_groups,
        "states": _state_machines,
    }
    found_already = {"ssm": tagging._collect_ssm, "secretsmanager": tagging._collect_secretsmanager}
    tagging._COLLECTORS.update({**collectors, **found_already})
    known_already = {name: tagging._COLLECTORS[name] for name in ("ecr", "events")}
    tagging._RESOURCE_TAG_COLLECTORS.update({**collectors, **known_already})


def _trails() -> Tagged:
    living = {trail["TrailARN"] for trail in cloudtrail._trails.values()}
    for arn, tags in cloudtrail._trail_tags.items():
        if arn in living:
            yield arn, _members(tags)


def _alarms() -> Tagged:
    for arn, tags in cloudwatch._resource_tags.items():
        if f":{get_region()}:" in arn:
            yield arn, _members(tags)


def _log_groups() -> Tagged:
    for group in cloudwatch_logs._log_groups.values():
        if group.get("tags"):
            yield group["arn"].removesuffix(":*"), _members(group["tags"])


def _state_machines() -> Tagged:
    for arn, tags in stepfunctions._tags.items():
        yield arn, [{"Key": tag["key"], "Value": tag["value"]} for tag in tags]


def _networks() -> Tagged:
    for identity, tags in ec2._tags.items():
        kind = identity.partition("-")[0]
        if identity in EC2_LIVING.get(kind, ()) and tags:
            yield f"arn:aws:ec2:{get_region()}:{get_account_id()}:{EC2_TYPES[kind]}/{identity}", list(tags)


def _members(tags: dict[str, Any]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
