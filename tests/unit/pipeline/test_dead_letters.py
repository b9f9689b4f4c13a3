"""`mlops redrive`: what it says of each dead letter, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.redrive import describe_body, describe_error, describe_event, redrive


class Machine:
    """Step Functions with one machine that ends as told, one execution after the other."""

    def __init__(self, *ends: dict[str, Any]) -> None:
        self.ends = list(ends)
        self.inputs: list[dict[str, Any]] = []

    def start_execution(self, **request: Any) -> dict[str, str]:
        self.inputs.append(json.loads(request["input"]))
        return {"executionArn": f"execution-{len(self.inputs)}"}

    def describe_execution(self, **_request: Any) -> dict[str, Any]:
        return self.ends[0] if self.ends[0]["status"] == "RUNNING" else self.ends.pop(0)


def ended(*letters: dict[str, Any]) -> dict[str, Any]:
    return {"status": "SUCCEEDED", "output": json.dumps({"letters": letters})}


def letter(outcome: str, message_id: str = "1") -> dict[str, Any]:
    return {"message": {"MessageId": message_id, "Body": "{}"}, "outcome": outcome, "reason": ""}


def test_it_asks_again_until_no_letter_is_there() -> None:
    machine = Machine(
        ended(letter("handed on", "1"), letter("left", "2")), ended(letter("dropped", "3")), ended()
    )

    letters = redrive(machine, "machine", dry_run=False, every_s=0)

    assert [one.outcome for one in letters] == ["handed on", "left", "dropped"]
    assert machine.inputs == [{"dry_run": False}] * 3


def test_what_was_left_and_is_there_again_does_not_keep_it_going() -> None:
    left = ended(letter("left", "2"))
    machine = Machine(ended(letter("handed on", "1"), letter("left", "2")), left, left)

    letters = redrive(machine, "machine", dry_run=False, every_s=0)

    assert [(one.message_id, one.outcome) for one in letters] == [("1", "handed on"), ("2", "left")]
    assert len(machine.inputs) == 2


def test_what_was_left_and_is_handed_on_later_is_told_of_once() -> None:
    machine = Machine(
        ended(letter("left", "1")), ended(letter("handed on", "1"), letter("handed on", "2")), ended()
    )

    letters = redrive(machine, "machine", dry_run=False, every_s=0)

    assert [(one.message_id, one.outcome) for one in letters] == [("1", "handed on"), ("2", "handed on")]


def test_a_later_failure_tells_what_was_done_before_it() -> None:
    failed = {"status": "FAILED", "error": "NotReceived", "cause": "no permission"}
    machine = Machine(ended(letter("handed on", "1"), letter("left", "2")), failed)

    with pytest.raises(
        RunError,
        match=r"execution-2 ended as FAILED: .* Before that: handed on: a schedule's round; "
        r"left: a schedule's round\.$",
    ):
        redrive(machine, "machine", dry_run=False, every_s=0)


def test_a_dry_run_asks_once() -> None:
    machine = Machine(ended(letter("waiting")))

    assert [one.outcome for one in redrive(machine, "machine", dry_run=True, every_s=0)] == ["waiting"]
    assert machine.inputs == [{"dry_run": True}]


def test_a_machine_that_fails_is_told_with_its_cause() -> None:
    machine = Machine({"status": "FAILED", "error": "NotReceived", "cause": "no permission"})

    with pytest.raises(RunError, match=r"execution-1 ended as FAILED: NotReceived: no permission"):
        redrive(machine, "machine", dry_run=False, every_s=0)


def test_a_machine_that_does_not_end_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.redrive.PATIENCE_S", 0)

    with pytest.raises(RunError, match="execution-1 has not ended"):
        redrive(Machine({"status": "RUNNING"}), "machine", dry_run=False, every_s=0)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"detail": {"bucket": {"name": "b"}, "object": {"key": "datasets/iris/a.csv"}}},
            "s3://b/datasets/iris/a.csv, told by S3",
        ),
        (
            {"detail": {"requestParameters": {"bucketName": "b", "key": "k"}}},
            "s3://b/k, told by CloudTrail",
        ),
        (
            {"detail": {"ModelPackageArn": "arn:p", "ModelApprovalStatus": "Approved"}},
            "arn:p Approved",
        ),
        ({"detail-type": "Scheduled Event", "detail": {}}, "Scheduled Event"),
        ({"ttl_hours": 3}, "a schedule's round"),
    ],
)
def test_a_letter_says_what_it_is_about(event: dict[str, Any], said: str) -> None:
    assert describe_event(event) == said


@pytest.mark.parametrize("body", ["it is no JSON", "5", '["a", "list"]'])
def test_a_letter_that_is_no_event_shows_how_it_begins(body: str) -> None:
    assert describe_body(body) == f"no event: {body!r}"


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "not allowed"}, "NO_PERMISSIONS: not allowed"),
        ({"ErrorCode": "200", "ErrorMessage": "forged"}, "200: forged"),
        ({}, ""),
    ],
)
def test_a_letter_says_why_it_is_there(attributes: dict[str, str], said: str) -> None:
    assert describe_error({name: {"StringValue": value} for name, value in attributes.items()}) == said
