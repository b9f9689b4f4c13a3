"""What the local AWS writes of IAM's decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws, create_role, wait_until
from ports import free_port

from localaws import control
from localaws.settings import ACCOUNT_ID, REGION, Recording, Settings


def decisions(aws: LocalAws, **members: Any) -> list[dict[str, Any]]:
    """The lines that have these members."""
    lines = [json.loads(line) for line in aws.settings.decisions_file.read_text().splitlines()]
    return [line for line in lines if members.items() <= line.items()]


@pytest.fixture
def caller(aws: LocalAws, name: str) -> Callable[[str], Any]:
    """Clients that act in a role of their own, which may read one bucket by prefix."""
    iam = aws.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        "Action": "sts:AssumeRole",
    }
    allow = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{name}",
        "Condition": {"StringLike": {"s3:prefix": "mine/*"}},
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps({"Statement": [allow]}))
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
    keys = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    aws.client("s3").create_bucket(Bucket=name)
    return lambda service: aws.client(
        service,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def test_an_allowed_call_is_written_with_role_action_resource_and_context(
    aws: LocalAws, caller: Callable[[str], Any], name: str
) -> None:
    caller("s3").list_objects_v2(Bucket=name, Prefix="mine/")

    (line,) = decisions(aws, action="s3:ListBucket", resource=f"arn:aws:s3:::{name}")
    assert line["principal"] == f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/session"
    assert (line["kind"], line["decision"], line["identity"]) == ("call", "Allow", "Allow")
    assert line["context"]["s3:prefix"] == "mine/"
    assert line["secure_transport"] is True


def test_a_denied_call_is_written(aws: LocalAws, caller: Callable[[str], Any], name: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        caller("s3").list_objects_v2(Bucket=name, Prefix="yours/")

    (line,) = decisions(aws, action="s3:ListBucket", resource=f"arn:aws:s3:::{name}")
    assert line["decision"] == "ImplicitDeny"


def test_handing_a_role_over_and_its_trust_are_written(aws: LocalAws, name: str) -> None:
    role = create_role(aws, name, ["logs:PutLogEvents"], principal="states.amazonaws.com")
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    machine = aws.client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=role)

    (passed,) = decisions(aws, action="iam:PassRole", resource=role)
    assert passed["context"]["iam:passedtoservice"] == "states.amazonaws.com"
    (trusted,) = decisions(aws, kind="trust", resource=role)
    assert (trusted["service"], trusted["decision"]) == ("states.amazonaws.com", "Allow")
    assert trusted["context"]["aws:sourcearn"] == machine["stateMachineArn"]


def test_what_a_definition_needs_of_its_role_is_written(aws: LocalAws, name: str) -> None:
    role = create_role(aws, name, ["events:PutTargets", "events:PutRule"], principal="states.amazonaws.com")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "Parameters": {},
        "End": True,
    }
    definition = json.dumps({"StartAt": "Train", "States": {"Train": task}})

    with pytest.raises(ClientError, match="managed-rule"):
        aws.client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=role)

    asked = {line["action"]: line["decision"] for line in decisions(aws) if f"/{name}/" in line["principal"]}
    assert asked == {
        "events:PutTargets": "Allow",
        "events:PutRule": "Allow",
        "events:DescribeRule": "ImplicitDeny",
    }


def test_a_delivery_by_a_resources_policy_is_written(aws: LocalAws, name: str) -> None:
    sqs, events = aws.client("sqs"), aws.client("events")
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/another"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.create_queue(QueueName=name, Attributes={"Policy": policy})
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue}])

    events.put_events(Entries=[{"Source": name, "DetailType": "any", "Detail": "{}"}])

    (line,) = wait_until(lambda: decisions(aws, kind="resource", resource=queue))
    assert (line["service"], line["action"]) == ("events.amazonaws.com", "sqs:SendMessage")
    assert line["decision"] == "ImplicitDeny"
    assert line["context"]["aws:sourcearn"] == rule


@pytest.mark.parametrize(("recording", "count"), [("distinct", 1), ("all", 2), ("none", 0)])
def test_up_chooses_what_is_written(tmp_path: Path, recording: Recording, count: int) -> None:
    settings = Settings(free_port(), tmp_path, "process", recording)
    control.start(settings)
    try:
        aws = LocalAws(settings)
        for _ in range(2):
            aws.client("sqs").list_queues()
        file = settings.decisions_file
        lines = file.read_text().splitlines() if file.exists() else []
    finally:
        control.stop(settings)

    assert sum("sqs:ListQueues" in line for line in lines) == count


def test_an_endpoint_asks_for_itself_its_configuration_and_its_tags(aws: LocalAws, name: str) -> None:
    iam, sts = aws.client("iam"), aws.client("sts")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        "Action": "sts:AssumeRole",
    }
    allow = {"Effect": "Allow", "Action": ["sagemaker:CreateEndpoint", "sagemaker:AddTags"], "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps({"Statement": [allow]}))
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
    keys = sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    sagemaker = aws.client(
        "sagemaker",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )

    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.create_endpoint(
            EndpointName=name, EndpointConfigName=f"{name}-v1", Tags=[{"Key": "Project", "Value": "test"}]
        )

    asked = {
        (d["action"], d["resource"].rpartition(":")[2])
        for d in decisions(aws)
        if f"/{name}/" in d["principal"]
    }
    assert asked == {
        ("sagemaker:CreateEndpoint", f"endpoint/{name}"),
        ("sagemaker:CreateEndpoint", f"endpoint-config/{name}-v1"),
        ("sagemaker:AddTags", f"endpoint/{name}"),
    }
