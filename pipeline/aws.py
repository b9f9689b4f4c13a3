"""The edge to AWS: the one place that makes boto3 clients, with bounded retries and time-outs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from pipeline.errors import SetupError

# SageMaker gives a model 60 s to answer; everything else answers sooner.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=65,
    retries={"mode": "standard", "total_max_attempts": 5},
    user_agent_extra="mlops-pipeline",
)


@dataclass
class Aws:
    """Clients of one region, made when first asked for, with the SDK's own credentials and endpoints."""

    region: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            session = boto3.session.Session(region_name=self.region)
            try:
                client = session.client(service, config=_CONFIG)  # type: ignore[call-overload]
            except ValueError as error:
                raise SetupError(f"AWS cannot be asked: {error}. Check AWS_ENDPOINT_URL.") from error
            self._clients[service] = client
        return self._clients[service]


@dataclass(frozen=True)
class Caller:
    """`user_id` is IAM's `aws:userid`: <role's id>:<session's name> for a role, <user's id> for a user."""

    account_id: str
    arn: str
    user_id: str

    @property
    def person(self) -> str:
        """The last part of the ARN: the session name of a role, or the user's name."""
        return self.arn.rsplit("/", 1)[-1]


def read_caller(sts: Any) -> Caller:
    """Whom AWS takes us for."""
    answer = sts.get_caller_identity()
    return Caller(account_id=answer["Account"], arn=answer["Arn"], user_id=answer["UserId"])
