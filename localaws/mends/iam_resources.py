"""IAM: which resources a request is about.

AWS: a KMS request that names a key by its alias is about the key; one that makes, moves or deletes an
    alias is about the alias and about the keys; one that reads several repositories or alarms is about
    each of them; one that makes a function is about the function; one that names a log stream is about
    the stream; a form that uploads to S3 is about the object; a rule of the default event bus has no bus
    in its ARN; a dashboard's has no region; what is done to a budget is ModifyBudget or ViewBudget, on the
    budget ["Actions, resources, and condition keys" of each service in the Service Authorization Reference].
ministack: takes the alias for the resource, finds no resource where a request names several, names it by
    ARN or is about to make it, and writes `rule/default/<name>`; so a role that is held to its own
    resources is refused; and names budget actions by their operations.
Hook: `core/iam_actions.py::extract_resource_arn`, `::extract_iam_action`, `core/iam_evaluator.py::enforce`.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
from ministack.core import iam_actions, iam_evaluator
from ministack.services import kms

from localaws.mends import upload_forms

VERSION = "1.5.33"

Members = Mapping[str, Any]

# What the request being authorised is about besides its first resource.
_others: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("iam_other_resources", default=())


@dataclass(frozen=True)
class Request:
    """What of a request says what it is about."""

    operation: str
    members: Members
    region: str
    account_id: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"


def apply() -> None:
    """Makes IAM decide on the resources that AWS decides on."""
    extract = iam_actions.extract_resource_arn
    enforce = iam_evaluator.enforce

    def resource_of(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Any,
        region: str,
        account_id: str,
    ) -> str:
        request = Request(_operation(headers, query), _members(headers, body, query), region, account_id)
        found = RESOURCES[service](request) if service in RESOURCES else []
        if service == "s3" and (key := upload_forms.form_key(method, headers, body)):
            found = [f"arn:aws:s3:::{path.strip('/').partition('/')[0]}/{key}"]
        name_others(found[1:])
        return (
            found[0]
            if found
            else str(extract(service, method, path, headers, body, query, region, account_id))
        )

    def enforce_all(
        access_key_id: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        others = _others.get()
        _others.set(())
        for arn in (resource_arn, *others):
            denied = enforce(access_key_id, action, service, region, arn, service_context)
            if denied is not None:
                return denied
        return None

    action = iam_actions.extract_iam_action

    def action_of(service: str, *rest: Any) -> str | None:
        found = action(service, *rest)
        return budget_action(found) if service == "budgets" and found else found

    iam_actions.extract_iam_action = action_of
    iam_actions.extract_resource_arn = resource_of
    iam_evaluator.enforce = enforce_all


def name_others(arns: Sequence[str]) -> None:
    """What the request being authorised is about besides its first resource; asked once, after that."""
    _others.set(tuple(arns))


def kms_resources(request: Request) -> list[str]:
    """The keys, and the alias of an operation on aliases."""
    alias = request.members.get("AliasName")
    if alias:
        arn = request.arn("kms", str(alias))
        keys = [_key_arn(arn), _key_arn(str(request.members.get("TargetKeyId") or ""))]
        return [arn, *dict.fromkeys(key for key in keys if key)]
    key = str(request.members.get("KeyId") or "")
    return [found] if "alias/" in key and (found := _key_arn(key)) else []


def ecr_resources(request: Request) -> list[str]:
    """The repositories of an operation that names several."""
    names = request.members.get("repositoryNames") or ()
    return tagged_resources(request) or [request.arn("ecr", f"repository/{name}") for name in names]


def events_resources(request: Request) -> list[str]:
    """The rule of the default bus."""
    if request.operation == "PutEvents" or request.members.get("EventBusName", "default") != "default":
        return []
    name = request.members.get("Rule") or request.members.get("Name")
    return tagged_resources(request) or ([request.arn("events", f"rule/{name}")] if name else [])


def cloudwatch_resources(request: Request) -> list[str]:
    """The alarms of an operation that names several; the dashboards of one on dashboards."""
    members = request.members
    boards = members.get("DashboardNames") or [
        members[name] for name in ("DashboardName",) if name in members
    ]
    if boards:
        return [f"arn:aws:cloudwatch::{request.account_id}:dashboard/{name}" for name in boards]
    names = members.get("AlarmNames") or ()
    return tagged_resources(request) or [request.arn("cloudwatch", f"alarm:{name}") for name in names]


def budget_resources(request: Request) -> list[str]:
    """The budget, which belongs to no region."""
    members = request.members
    name = members.get("BudgetName") or members.get("Budget", members.get("NewBudget", {})).get("BudgetName")
    return tagged_resources(request) or (
        [f"arn:aws:budgets::{request.account_id}:budget/{name}"] if name else []
    )


def budget_action(action: str) -> str:
    """AWS knows two actions for everything that is done to budgets, apart from their tags."""
    operation = action.partition(":")[2]
    if "Tag" in operation:
        return action
    return "budgets:ViewBudget" if operation.startswith("Describe") else "budgets:ModifyBudget"


def lambda_resources(request: Request) -> list[str]:
    """The function that is about to be made; later its path names it."""
    name = request.members.get("FunctionName")
    return [request.arn("lambda", f"function:{name}")] if name else []


def logs_resources(request: Request) -> list[str]:
    """The log stream of an operation that names one."""
    stream = request.members.get("logStreamName")
    group = f"log-group:{request.members.get('logGroupName')}"
    return [request.arn("logs", f"{group}:log-stream:{stream}")] if stream else []


def tagged_resources(request: Request) -> list[str]:
    """What tags are read or written of, which is named by its ARN."""
    names = ("resourceArn", "ResourceArn", "ResourceARN", "ResourceId")
    one = [request.members[name] for name in names if name in request.members]
    return [str(arn) for arn in one or request.members.get("ResourceIdList") or ()]


RESOURCES = {
    "budgets": budget_resources,
    "cloudtrail": tagged_resources,
    "dynamodb": tagged_resources,
    "ecr": ecr_resources,
    "events": events_resources,
    "kms": kms_resources,
    "lambda": lambda_resources,
    "logs": logs_resources,
    "monitoring": cloudwatch_resources,
    "sns": tagged_resources,
    "states": tagged_resources,
}


def _key_arn(reference: str) -> str | None:
    """The ARN of the key that an id, an alias or an ARN of either names, if there is one."""
    key = kms._resolve_key(reference)
    return str(key["Arn"]) if key else None


def _operation(headers: Mapping[str, str], query: Any) -> str:
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    action = query.get("Action", "") if query else ""
    return target or str(action[0] if isinstance(action, list) else action)


def _members(headers: Mapping[str, str], body: bytes, query: Any) -> Members:
    """The request's members, whatever of AWS's protocols it came by; empty where it cannot be read."""
    try:
        if headers.get("content-type", "").startswith("application/cbor"):
            members = cbor2.loads(body)
        elif body[:1] == b"{":
            members = json.loads(body)
        else:
            return _form_members(query or {})
    except (ValueError, cbor2.CBORDecodeError):
        # The service itself answers what is wrong with the body.
        return {}
    return members if isinstance(members, dict) else {}


def _form_members(form: Mapping[str, Any]) -> Members:
    """The top-level members of a form: `AlarmNames.member.1=x` belongs to the list AlarmNames."""
    members: dict[str, Any] = {}
    for name, values in form.items():
        value = values[0] if isinstance(values, list) else values
        member, _, index = name.partition(".member.")
        if not index:
            members[name] = value
        elif index.isdigit():
            members.setdefault(member, []).append(value)
    return members
