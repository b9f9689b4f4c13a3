"""IAM: a role's trust may ask under which name a session by a web identity is begun.

AWS: `sts:RoleSessionName` is in the request of each AssumeRole operation, that by a web identity included
    ["IAM and AWS STS condition context keys"; RoleSessionName in "AssumeRoleWithWebIdentity"].
ministack: has the key in AssumeRole only, so that such a trust refuses every web identity.
Hook: `services/sts.py::_web_identity_trust_denied` and `::_web_identity_principal`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import sts

VERSION = "1.5.33"
KEY = "sts:rolesessionname"


def apply() -> None:
    """Makes the session's name known to the trust of the role."""
    trust_denied, principal_of = sts._web_identity_trust_denied, sts._web_identity_principal
    asked: ContextVar[str | None] = ContextVar("asked")

    def trust_denied_by_name(role_arn: str, params: dict[str, Any], use_json: bool) -> Any:
        name = asked.set(sts._p(params, "RoleSessionName") or None)
        try:
            return trust_denied(role_arn, params, use_json)
        finally:
            asked.reset(name)

    def principal_with_name(token: str, provider_id: str, role_arn: str) -> Any:
        principal, keys = principal_of(token, provider_id, role_arn)
        name = asked.get(None)
        return principal, keys | ({KEY: name} if name else {})

    sts._web_identity_trust_denied = trust_denied_by_name
    sts._web_identity_principal = principal_with_name
