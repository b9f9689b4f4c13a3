"""Dead letters reach whom they were meant for: the state machine's definition, on the local AWS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from local_aws import LocalAws, create_role
from machine_templates import render

from pipeline.redrive import redrive

PASSING = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
S3 = {
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "data"}, "object": {"key": "datasets/iris/a.csv", "version-id": "v1"}},
}
CLOUDTRAIL = {
    "detail-type": "AWS API Call via CloudTrail",
    "detail": {
        "requestParameters": {"bucketName": "data", "key": "datasets/iris/a.csv"},
        "responseElements": {"x-amz-version-id": "v1"},
        "userIdentity": {"arn": "arn:aws:sts::123456789012:assumed-role/mlops-data-scientist/alice"},
    },
}
APPROVED = {"detail": {"ModelPackageArn": "arn:package/1", "ModelApprovalStatus": "Approved"}}
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:mlops-staging"
NOTE_PLANS = f"{FUNCTION}-note-plans"
ROUND = {"detail-type": "Scheduled Event", "detail": {}}


@dataclass(frozen=True)
class Post:
    """A queue, the machine that empties it, and one that events start."""

    aws: LocalAws
    queue_url: str
    machine: str
    target: str

    def add(self, event: dict[str, Any] | str, *, target: str | None) -> None:
        """As EventBridge leaves it, or without a target as Lambda does."""
        said = (
            {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "no", "TARGET_ARN": target}
            if target
            else {"ErrorCode": "200", "ErrorMessage": "it failed"}
        )
        self.aws.client("sqs").send_message(
            QueueUrl=self.queue_url,
            MessageBody=event if isinstance(event, str) else json.dumps(event),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in said.items()
            },
        )

    def started(self) -> list[dict[str, Any]]:
        states = self.aws.client("stepfunctions")
        found = states.list_executions(stateMachineArn=self.target)["executions"]
        return [
            json.loads(states.describe_execution(executionArn=one["executionArn"])["input"]) for one in found
        ]


@pytest.fixture
def post(aws: LocalAws, name: str) -> Post:
    states, sqs = aws.client("stepfunctions"), aws.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    role = create_role(aws, name, ["sqs:*", "states:*", "lambda:*"], principal="states.amazonaws.com")
    target = states.create_state_machine(name=f"{name}-target", definition=PASSING, roleArn=role)
    definition = render(
        "redrive",
        queue_url=url,
        answer_gate_function_arn="no-such-function",
        note_plans_function_arn=NOTE_PLANS,
    )
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)
    return Post(aws, url, machine["stateMachineArn"], target["stateMachineArn"])


def hand_on(post: Post, *, dry_run: bool = False) -> list[tuple[str, str, str]]:
    letters = redrive(post.aws.client("stepfunctions"), post.machine, dry_run=dry_run, every_s=0.05)
    return [(letter.about, letter.error, letter.outcome) for letter in letters]


def test_an_empty_queue_has_no_letters(post: Post) -> None:
    assert hand_on(post) == []


def test_an_upload_is_started_as_its_rules_would_have(post: Post) -> None:
    post.add(S3, target=post.target)
    post.add(CLOUDTRAIL, target=post.target)

    letters = hand_on(post)

    upload = {"bucket": "data", "key": "datasets/iris/a.csv", "version_id": "v1"}
    who = CLOUDTRAIL["detail"]["userIdentity"]["arn"]  # type: ignore[index]
    assert sorted(post.started(), key=lambda given: given["route"]) == [
        {**upload, "uploaded_by": who, "route": "cloudtrail"},
        {**upload, "uploaded_by": None, "route": "s3"},
    ]
    assert sorted(letters) == [
        ("s3://data/datasets/iris/a.csv, told by CloudTrail", "NO_PERMISSIONS: no", "handed on"),
        ("s3://data/datasets/iris/a.csv, told by S3", "NO_PERMISSIONS: no", "handed on"),
    ]
    assert hand_on(post) == []


def test_an_approval_starts_its_release(post: Post) -> None:
    post.add(APPROVED, target=post.target)

    assert [outcome for *_, outcome in hand_on(post)] == ["handed on"]
    assert post.started() == [{"model_package_arn": "arn:package/1"}]


def test_a_round_of_a_schedule_is_dropped(post: Post) -> None:
    post.add(ROUND, target=f"{FUNCTION}-reconcile")
    # What a schedule looks for as well, and what its functions failed on.
    post.add(S3, target=NOTE_PLANS)
    post.add({}, target=None)
    post.add({"ttl_hours": 3}, target=None)
    post.add({"grace_s": 120, "lookback_s": 86400, "routes": {}}, target=None)

    assert [outcome for *_, outcome in hand_on(post)] == ["dropped"] * 5
    assert post.started() == []


def without(event: dict[str, Any], *path: str) -> dict[str, Any]:
    """The event less the field at the end of the path."""
    first, *rest = path
    if rest:
        return {**event, first: without(event[first], *rest)}
    return {name: value for name, value in event.items() if name != first}


def test_a_letter_that_cannot_be_read_or_recognised_is_left_with_its_reason_and_keeps_nothing_back(
    post: Post,
) -> None:
    bad = [
        without(S3, "detail", "object", "version-id"),
        without(S3, "detail", "bucket"),
        without(CLOUDTRAIL, "detail", "responseElements"),
        without(CLOUDTRAIL, "detail", "userIdentity", "arn"),
        {"detail-type": "Something New", "detail": {}},
    ]
    for event in bad:
        post.add(event, target=post.target)
    post.add("it is no JSON", target=post.target)
    post.add("[1, 2]", target=None)
    post.add(S3, target=post.target)

    letters = redrive(post.aws.client("stepfunctions"), post.machine, dry_run=False, every_s=0.05)

    reasons = [letter.reason for letter in letters if letter.outcome == "left"]
    assert [letter.outcome for letter in letters if letter.about.startswith("s3://data")].count(
        "handed on"
    ) == 1
    assert len(reasons) == 7
    assert sorted(reason.split(":")[0] for reason in reasons) == ["NotReadable", *["NotRecognised"] * 6]
    assert [one["version_id"] for one in post.started()] == ["v1"]
    counts = post.aws.client("sqs").get_queue_attributes(QueueUrl=post.queue_url, AttributeNames=["All"])
    assert counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "7"


def test_what_cannot_be_handed_on_keeps_nothing_else_back_and_is_not_lost(post: Post) -> None:
    post.add(APPROVED, target=None)
    post.add(S3, target=f"{post.target}-of-nobody")
    post.add(CLOUDTRAIL, target=post.target)

    letters = redrive(post.aws.client("stepfunctions"), post.machine, dry_run=False, every_s=0.05)

    assert sorted(letter.outcome for letter in letters) == ["handed on", "left", "left"]
    assert all(letter.reason for letter in letters if letter.outcome == "left")
    counts = post.aws.client("sqs").get_queue_attributes(QueueUrl=post.queue_url, AttributeNames=["All"])
    assert counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "2"


def test_a_dry_run_changes_nothing(post: Post) -> None:
    post.add(S3, target=post.target)
    post.add("it is no JSON", target=post.target)

    assert [outcome for *_, outcome in hand_on(post, dry_run=True)] == ["waiting", "waiting"]
    assert post.started() == []
    assert sorted(outcome for *_, outcome in hand_on(post)) == ["handed on", "left"]


def test_more_than_one_receive_holds_are_all_handed_on(post: Post) -> None:
    for _ in range(11):
        post.add(S3, target=post.target)

    assert len(hand_on(post)) == 11
    assert len(post.started()) == 11
