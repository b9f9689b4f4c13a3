"""The roles that a request hands to a service.

Not a mend: `pass_role` and `service_trust` use it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ministack.core.responses import get_account_id, get_region


@dataclass(frozen=True)
class HandedRole:
    """A role, the service that gets it, and the resource on whose behalf the service will assume it."""

    role_arn: str
    service_principal: str
    source_arn: str | None


@dataclass(frozen=True)
class Field:
    """Where requests of a service carry a role, and who gets it."""

    names: tuple[str, ...]
    service_principal: str


FIELDS = {
    "cloudtrail": Field(("CloudWatchLogsRoleArn",), "cloudtrail.amazonaws.com"),
    "ec2": Field(("DeliverLogsPermissionArn",), "vpc-flow-logs.amazonaws.com"),
    "events": Field(("RoleArn",), "events.amazonaws.com"),
    "lambda": Field(("Role",), "lambda.amazonaws.com"),
    "sagemaker": Field(("RoleArn", "ExecutionRoleArn"), "sagemaker.amazonaws.com"),
    "scheduler": Field(("RoleArn",), "scheduler.amazonaws.com"),
    "states": Field(("roleArn",), "states.amazonaws.com"),
}
# The requests that hand over, by the beginning of their operation; Lambda and Scheduler have paths instead.
VERBS = ("Create", "Update", "Put")


def handed_roles(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> list[HandedRole]:
    """The roles a request hands over; none for those that only read."""
    if service not in FIELDS or method not in ("POST", "PUT") or not body:
        return []
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if operation and not operation.startswith(VERBS):
        return []
    fields = FIELDS[service]
    data = _decode(headers, body)
    source = _source_arn(service, path, data)
    found = dict.fromkeys(_find(data, fields.names))
    return [HandedRole(arn, fields.service_principal, source) for arn in found]


def _decode(headers: dict[str, str], body: bytes) -> Any:
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _find(data: Any, names: tuple[str, ...]) -> Iterator[str]:
    if isinstance(data, list):
        for item in data:
            yield from _find(item, names)
    if isinstance(data, dict):
        for name, value in data.items():
            if name in names and isinstance(value, str) and value.startswith("arn:"):
                yield value
            elif isinstance(value, dict | list):
                yield from _find(value, names)


def _source_arn(service: str, path: str, data: Any) -> str | None:
    """The ARN that the service will name when it assumes the role, as far as the request tells it."""
    if not isinstance(data, dict):
        return None
    prefix = f"arn:aws:{service}:{get_region()}:{get_account_id()}"
    if service == "states":
        return data.get("stateMachineArn") or f"{prefix}:stateMachine:{data.get('name', '')}"
    if service == "events":
        return f"{prefix}:rule/{data.get('Rule') or data.get('Name', '')}"
    if service == "lambda":
        parts = path.split("/functions/")
        name = data.get("FunctionName") or (parts[1].split("/")[0] if len(parts) == 2 else "")
        return f"{prefix}:function:{name}"
    return None
