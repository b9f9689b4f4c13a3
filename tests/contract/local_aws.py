"""A running local AWS as the contract tests see it: clients, roles, waiting."""

from __future__ import annotations

import configparser
import json
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from process_image import RegistryClient

from localaws import profiles
from localaws.settings import ACCOUNT_ID, REGION, Settings


class LocalAws:
    """A running server and clients for it."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.environment = profiles.environment(settings)

    def client(self, service: str, *, profile: str = "admin", **arguments: Any) -> Any:
        keys = self._keys(profile)
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.settings.endpoint,
            verify=str(self.settings.ca_file),
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
            **{**keys, **arguments},
        )

    def registry(self) -> RegistryClient:
        return RegistryClient(self.client("ecr"), str(self.settings.ca_file))

    def _keys(self, profile: str) -> dict[str, str]:
        parser = configparser.RawConfigParser()
        parser.read(self.settings.credentials_file)
        return dict(parser[profile])


def create_role(
    aws: LocalAws, name: str, actions: list[str], *, principal: str = "sagemaker.amazonaws.com"
) -> str:
    """The ARN of a role that trusts a service and may do `actions` on everything."""
    iam = aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="allow", PolicyDocument=_policy(allow))
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"


def wait_until(condition: Callable[[], Any], *, timeout_s: float = 30) -> Any:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s")


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
