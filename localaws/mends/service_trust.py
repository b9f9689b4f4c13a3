"""IAM: a service refuses a role that does not trust it.

AWS: CreateFunction, CreateStateMachine, PutTargets and their like assume the role once, and refuse it when
    its trust policy does not name the service ["Lambda execution role", "Creating an IAM role for your
    state machine", API pages of CreateFunction, CreateStateMachine, PutTargets and CreateSchedule].
ministack: takes any role that exists.
Hook: `app.py::SERVICE_HANDLERS` for Lambda, Step Functions, EventBridge and its Scheduler; SageMaker checks
    itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core.responses import error_response_json

from localaws.mends import role_sessions
from localaws.mends.handed_roles import HandedRole, handed_roles

VERSION = "1.5.33"


@dataclass(frozen=True)
class Refusal:
    """What a service says of a role that it cannot assume."""

    code: str
    message: str


REFUSALS = {
    "lambda": Refusal(
        "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
    ),
    "states": Refusal(
        "AccessDeniedException",
        "Neither the global service principal states.amazonaws.com, nor the regional one is authorized "
        "to assume the provided role.",
    ),
    "events": Refusal(
        "ValidationException", "Provided role '{role}' cannot be assumed by principal 'events.amazonaws.com'."
    ),
    "scheduler": Refusal(
        "ValidationException",
        "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
    ),
}


def apply() -> None:
    """Makes services refuse roles that do not trust them."""
    for service, refusal in REFUSALS.items():
        app.SERVICE_HANDLERS[service] = _checking(service, refusal, app.SERVICE_HANDLERS[service])


def _checking(service: str, refusal: Refusal, handle: Any) -> Any:
    async def handle_checked(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        for role in handed_roles(service, method, path, headers, body):
            if not _is_trusting(role):
                message = refusal.message.format(role=role.role_arn)
                return error_response_json(refusal.code, message, 400)
        return await handle(method, path, headers, body, query)

    return handle_checked


def _is_trusting(role: HandedRole) -> bool:
    try:
        found = role_sessions.role_of(role.role_arn)
    except role_sessions.RoleError:
        return False
    return role_sessions.trusts(found, role.service_principal, source_arn=role.source_arn)
