"""Whoever hands a role to a service needs iam:PassRole for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, REGION, Server, allow, mended, plain, policy, unique, zip_of

PASSING = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
EVERYTHING_ELSE = {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}


def user(server: Server, *statements: dict[str, Any]) -> dict[str, str]:
    """Keys of a new user who may do everything but IAM, and what the statements say."""
    iam, name = server.client("iam"), unique("user")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(EVERYTHING_ELSE, *statements))
    keys: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
    return keys


def create_function(server: Server, keys: dict[str, str], role: str) -> None:
    server.client("lambda", keys).create_function(
        FunctionName=unique("function"),
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": zip_of({"index.py": ""})},
    )


def create_machine(server: Server, keys: dict[str, str], role: str) -> None:
    server.client("stepfunctions", keys).create_state_machine(
        name=unique("machine"), definition=PASSING, roleArn=role
    )


def put_targets(server: Server, keys: dict[str, str], role: str) -> None:
    rule = unique("rule")
    server.client("events", keys).put_rule(Name=rule, EventPattern='{"source": ["none"]}')
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:none"
    server.client("events", keys).put_targets(
        Rule=rule, Targets=[{"Id": "machine", "Arn": machine, "RoleArn": role}]
    )


def create_model(server: Server, keys: dict[str, str], role: str) -> None:
    server.client("sagemaker", keys).create_model_package_group(ModelPackageGroupName=unique("group"))
    server.client("sagemaker", keys).create_model(
        ModelName=unique("model"), ExecutionRoleArn=role, PrimaryContainer={"Image": "none"}
    )


CALLS = {
    "lambda": create_function,
    "states": create_machine,
    "events": put_targets,
    "sagemaker": create_model,
}


def test_ministack_still_lets_anybody_pass_a_role() -> None:
    create_function(plain(), user(plain()), plain().role("lambda"))


@pytest.mark.parametrize(("service", "call"), CALLS.items())
def test_passing_a_role_needs_a_permission(service: str, call: Callable[..., None]) -> None:
    server = mended()
    role = server.role(service)

    with pytest.raises(ClientError) as refused:
        call(server, user(server), role)

    assert "AccessDenied" in refused.value.response["Error"]["Code"]
    assert f"is not authorized to perform: iam:PassRole on resource: {role}" in str(refused.value)


@pytest.mark.parametrize("service", ["lambda", "states", "events"])
def test_a_permission_may_name_the_service(service: str) -> None:
    server = mended()
    role = server.role(service)

    def passing_to(principal: str) -> dict[str, str]:
        condition = {"StringEquals": {"iam:PassedToService": principal}}
        return user(server, {**allow("iam:PassRole", resource=role), "Condition": condition})

    CALLS[service](server, passing_to(f"{service}.amazonaws.com"), role)
    with pytest.raises(ClientError, match="iam:PassRole"):
        CALLS[service](server, passing_to("ec2.amazonaws.com"), role)
