"""IAM: a policy may ask which permissions boundary a role has, or is to have.

AWS: `iam:PermissionsBoundary` is the boundary that CreateRole and PutRolePermissionsBoundary name, and for
    the changes of a role's policies and of its boundary the one that the role has ["Actions, resources, and
    condition keys for AWS Identity and Access Management", "Permissions boundaries for IAM entities"].
ministack: applies boundaries, but no request has the key, so that nobody who is held to it can make a role.
Hook: `core/iam_evaluator.py::enforce`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import iam

from localaws.mends import exchanges

VERSION = "1.5.33"

KEY = "iam:PermissionsBoundary"
# The actions whose request names the boundary, and those that are about a role which has one.
NAMING = ("iam:CreateRole", "iam:PutRolePermissionsBoundary")
ABOUT = (
    *("iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"),
    "iam:DeleteRolePermissionsBoundary",
)


def apply() -> None:
    """Makes requests about roles carry their boundary."""
    exchanges.follow_requests()
    enforce = iam_evaluator.enforce

    def enforce_with_boundary(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        boundary = boundary_of(iam_action, resource_arn)
        context = {**(service_context or {}), KEY: boundary} if boundary else service_context
        return enforce(access_key_id, iam_action, service, region, resource_arn, context)

    iam_evaluator.enforce = enforce_with_boundary


def boundary_of(action: str, resource_arn: str) -> str | None:
    """The ARN of the boundary that a request is about, if it is about one."""
    if action in NAMING:
        request = exchanges.current_request.get()
        form = parse_qs(request.body.decode(errors="replace")) if request else {}
        return form.get("PermissionsBoundary", [None])[0]
    if action in ABOUT:
        role = iam._roles.get_scoped(get_account_id(), None, resource_arn.rpartition("/")[2])
        return role.get("PermissionsBoundary") if role else None
    return None
