"""IAM: whoever hands a role to a service needs iam:PassRole for it.

AWS: a request that gives a role to a service is refused unless its caller may pass that role, with
    iam:PassedToService naming the service ["Grant a user permissions to pass a role to an AWS service"].
ministack: asks for the request's own action only, so that anybody who may create a function gets every role.
Hook: `app.py::SERVICE_HANDLERS`, for the services of `handed_roles`.
"""

from __future__ import annotations

from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_region

from localaws.mends import exchanges
from localaws.mends.handed_roles import FIELDS, HandedRole, handed_roles

VERSION = "1.5.33"

ACTION = "iam:PassRole"


def apply() -> None:
    """Makes handing over a role a permission."""
    exchanges.follow_requests()
    for service in FIELDS.keys() & app.SERVICE_HANDLERS.keys():
        app.SERVICE_HANDLERS[service] = _checking(service, app.SERVICE_HANDLERS[service])


def _checking(service: str, handle: Any) -> Any:
    async def handle_checked(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        access_key_id = router.extract_access_key_id(headers, query)
        for role in handed_roles(service, method, path, headers, body):
            denied = _denied(access_key_id, role)
            if denied is not None:
                return _refusal(service, headers, role, denied)
        return await handle(method, path, headers, body, query)

    return handle_checked


def _denied(access_key_id: str, role: HandedRole) -> Any:
    """The evaluator's refusal, or None."""
    context = {"iam:PassedToService": role.service_principal, "iam:AssociatedResourceArn": role.source_arn}
    return iam_evaluator.enforce(
        access_key_id, ACTION, "iam", get_region(), resource_arn=role.role_arn, service_context=context
    )


def _refusal(service: str, headers: Any, role: HandedRole, denied: Any) -> Any:
    request = exchanges.current_request.get()
    return iam_actions.access_denied_response(
        service,
        ACTION,
        getattr(denied, "principal_arn", ""),
        request.request_id if request else "",
        headers=headers,
        resource_arn=role.role_arn,
        explicit_deny=getattr(denied, "decision", "") == "Deny",
        resource_policy_arn="",
    )
