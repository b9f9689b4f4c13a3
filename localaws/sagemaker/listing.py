"""List operations: filters, order and pages."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

from localaws.errors import ValidationError
from localaws.sagemaker.kinds import Kind
from localaws.schema import Members

DEFAULT_PAGE = 10
_TIME_FILTERS = ("CreationTime", "LastModifiedTime")


def list_page(kind: Kind, resources: list[Members], params: Members) -> Members:
    """One page of a List operation, in the order it asks for."""
    found = [resource for resource in resources if _matches(kind, resource, params)]
    found.sort(key=lambda resource: _sort_key(kind, resource, params.get("SortBy", "CreationTime")))
    if params.get("SortOrder", "Descending") == "Descending":
        found.reverse()
    return page(found, params, member=kind.summaries, default=DEFAULT_PAGE)


def page(items: list[Any], params: Members, *, member: str, default: int) -> Members:
    """A page of `items` with the token of the next one."""
    start = _decode_token(params["NextToken"]) if params.get("NextToken") else 0
    end = start + params.get("MaxResults", default)
    answer: Members = {member: items[start:end]}
    if end < len(items):
        answer["NextToken"] = base64.b64encode(str(end).encode()).decode()
    return answer


def epoch_s(value: float | str) -> float:
    """A time of a request, which may be a number or ISO 8601."""
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).timestamp()
    return value


def _matches(kind: Kind, resource: Members, params: Members) -> bool:
    if params.get("NameContains", "").lower() not in resource[kind.name_key].lower():
        return False
    if "StatusEquals" in params and resource.get(kind.status_key) != params["StatusEquals"]:
        return False
    return all(_in_window(resource[member], member, params) for member in _TIME_FILTERS if member in resource)


def _in_window(value: float, member: str, params: Members) -> bool:
    after, before = params.get(f"{member}After"), params.get(f"{member}Before")
    if after is not None and value <= epoch_s(after):
        return False
    return before is None or value < epoch_s(before)


def _sort_key(kind: Kind, resource: Members, sort_by: str) -> tuple[Any, float]:
    member = {"Name": kind.name_key, "Status": kind.status_key}.get(sort_by, sort_by)
    return resource.get(member, resource["CreationTime"]), resource["CreationTime"]


def _decode_token(token: str) -> int:
    try:
        decoded = base64.b64decode(token, validate=True)
    except ValueError as error:
        raise ValidationError("Invalid NextToken.") from error
    if not decoded.isdigit():
        raise ValidationError("Invalid NextToken.")
    return int(decoded)
