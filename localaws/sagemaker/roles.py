"""The execution role of a job or a model: checked when it is handed over, acted in when something runs."""

from __future__ import annotations

from typing import Any

from ministack.core.responses import request_scope

from localaws.errors import ValidationError
from localaws.mends import role_sessions
from localaws.mends.role_sessions import RoleError
from localaws.service import current_scope
from localaws.store import Scope

PRINCIPAL = "sagemaker.amazonaws.com"


class ExecutionRole:
    """Clients that act in one role, for one account and region."""

    def __init__(self, scope: Scope, arn: str, *, session_name: str):
        self.scope = scope
        self.arn = arn
        self._session_name = session_name

    def client(self, service: str) -> Any:
        """A client whose calls are authorised as the role's. Raises: RoleError when it is gone."""
        with request_scope(self.scope.account_id, self.scope.region):
            return role_sessions.client(
                service,
                self.arn,
                service_principal=PRINCIPAL,
                session_name=self._session_name,
                source_arn=source_arn(self.scope),
            )


def source_arn(scope: Scope) -> str:
    """What `aws:SourceArn` is when SageMaker assumes a role: AWS documents no more of it than this."""
    return f"arn:aws:sagemaker:{scope.region}:{scope.account_id}:*"


def check_role(role_arn: str) -> None:
    """Raises: ValidationError when SageMaker may not assume the role."""
    try:
        trusted = role_sessions.trusts(
            role_sessions.role_of(role_arn), PRINCIPAL, source_arn=source_arn(current_scope())
        )
    except RoleError:
        trusted = False
    if not trusted:
        raise ValidationError(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            f"'{PRINCIPAL}' to assume the role."
        )
