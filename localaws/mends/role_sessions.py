"""Sessions of an IAM role for an AWS service that acts in it: Step Functions, EventBridge, Lambda, SageMaker.

Not a mend: the mends use it. A client made here goes over HTTPS to this same server, signed by the role's
session, so that what the service does is authorized (and recorded by CloudTrail) as on AWS.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, sts

from localaws.sdk import create_client

# A Lambda invocation may take 15 minutes; nothing else answers later.
READ_TIMEOUT_S = 905
MAX_CLIENTS = 128
CALLING_SERVICES = ("states.amazonaws.com", "events.amazonaws.com", "scheduler.amazonaws.com")


class RoleError(Exception):
    """The role does not exist, or does not trust the service that wants to act in it."""


@dataclass(frozen=True)
class Credentials:
    """Temporary keys of a role session."""

    access_key_id: str
    secret_access_key: str
    session_token: str


_lock = threading.RLock()
_sessions: dict[tuple[str, str, str], Credentials] = {}
_clients: dict[tuple[str, str, str], Any] = {}


def role_of(role_arn: str) -> dict[str, Any]:
    """The stored role. Raises: RoleError when there is none."""
    parts = role_arn.split(":", 5)
    name = role_arn.rsplit("/", 1)[-1]
    role: dict[str, Any] | None = iam._roles.get_scoped(parts[4], None, name) if len(parts) == 6 else None
    if role is None or role.get("Arn") != role_arn:
        raise RoleError(f"Role {role_arn or '(none)'} does not exist.")
    return role


def role_arn_of(account_id: str, role_name: str) -> str:
    """The ARN of a role, path included; of one without a path when it is gone."""
    role: dict[str, Any] | None = iam._roles.get_scoped(account_id, None, role_name)
    return str(role["Arn"]) if role else f"arn:aws:iam::{account_id}:role/{role_name}"


def trusts(role: dict[str, Any], service_principal: str, *, source_arn: str | None = None) -> bool:
    """Whether the role's trust policy lets the AWS service assume it, conditions included."""
    stored = role.get("AssumeRolePolicyDocument") or "{}"
    policy = json.loads(stored) if isinstance(stored, str) else stored
    statements = policy.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    context = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=get_region(),
        service_context={"aws:sourceaccount": get_account_id(), "aws:sourcearn": source_arn},
    )
    # A trust policy names no Resource, and the evaluator matches none without one.
    document = {"Statement": [{**statement, "Resource": "*"} for statement in statements]}
    result = iam_evaluator.evaluate_resource_policy(document, context, service=service_principal)
    return bool(result.decision == "Allow")


def credentials(
    role_arn: str, *, service_principal: str, session_name: str, source_arn: str | None = None
) -> Credentials:
    """Keys of the session that the service holds in the role.

    Raises: RoleError when the role is missing or does not trust the service.
    """
    role = role_of(role_arn)
    if not trusts(role, service_principal, source_arn=source_arn):
        raise RoleError(
            f"{service_principal} is not authorized to assume role {role_arn}: its trust policy refuses."
        )
    name = re.sub(r"[^\w+=,.@-]", "-", session_name)[:64]
    key = (role["RoleId"], name, service_principal)
    with _lock:
        held = _sessions.get(key)
        if held is None or held.access_key_id not in sts._sessions:
            held = _sessions[key] = _register(role, name, service_principal)
        return held


def client(
    service: str, role_arn: str, *, service_principal: str, session_name: str, source_arn: str | None = None
) -> Any:
    """A client of `service` signed by the role's session; one is kept per service, session and region."""
    keys = credentials(
        role_arn, service_principal=service_principal, session_name=session_name, source_arn=source_arn
    )
    key = (service, keys.access_key_id, get_region())
    with _lock:
        if key not in _clients:
            if len(_clients) >= MAX_CLIENTS:
                _clients.pop(next(iter(_clients)))
            _clients[key] = _create_client(service, keys)
        return _clients[key]


def endpoint_url() -> str:
    """Where this server answers."""
    return f"https://127.0.0.1:{os.environ['GATEWAY_PORT']}"


def _register(role: dict[str, Any], session_name: str, service_principal: str) -> Credentials:
    account_id = role["Arn"].split(":")[4]
    keys = Credentials(
        "ASIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30), secrets.token_urlsafe(96)
    )
    session = {
        "Arn": f"arn:aws:sts::{account_id}:assumed-role/{role['RoleName']}/{session_name}",
        "UserId": f"{role['RoleId']}:{session_name}",
        "SecretAccessKey": keys.secret_access_key,
        "SessionToken": keys.session_token,
        "AccountId": account_id,
        "PrincipalType": "AssumedRole",
        "IssuedAt": time.time(),
        # For CloudTrail: calls the service makes itself, unlike those of a function's or a job's code.
        "InvokedBy": service_principal if service_principal in CALLING_SERVICES else "",
    }
    sts.register_session(keys.access_key_id, session)
    return keys


def _create_client(service: str, keys: Credentials) -> Any:
    return create_client(
        service,
        region_name=get_region(),
        endpoint_url=endpoint_url(),
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        aws_session_token=keys.session_token,
        config=Config(
            retries={"total_max_attempts": 1},
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=32,
            s3={"addressing_style": "path"},
            inject_host_prefix=False,
        ),
    )
