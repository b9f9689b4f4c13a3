"""How a run or a release ended: in words, in the run item, and once in the ledger."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from lambda_fakes import FakeS3

from pipeline.lambdas.record import MAX_REASON_CHARACTERS, readable, record
from pipeline.ledger import Ledger
from pipeline.runs_table import RunsTable

RUN = "iris-0123456789abcdef"
TRAINING = {
    "TrainingJobName": RUN,
    "TrainingJobStatus": "Failed",
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def error(cause: Any, name: str = "States.TaskFailed") -> dict[str, str]:
    return {"Error": name, "Cause": cause if isinstance(cause, str) else json.dumps(cause)}


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (error({"errorType": "SmokeError", "errorMessage": "Endpoint x is down."}), "Endpoint x is down."),
        (
            error({**TRAINING, "FailureReason": "AlgorithmError: no column species", "ExitMessage": None}),
            f"Training job {RUN}: Failed: AlgorithmError: no column species",
        ),
        (
            error({**TRAINING, "TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}),
            f"Training job {RUN}: stopped because it ran over its 60 seconds (MaxRuntimeExceeded)",
        ),
        (error(TRAINING), f"Training job {RUN}: Failed without a reason; see its log"),
        (
            error(
                {
                    "ProcessingJobName": "p",
                    "ProcessingJobStatus": "Failed",
                    "FailureReason": "AlgorithmError: exit code 1",
                    "ExitMessage": "no holdout",
                }
            ),
            "Processing job p: Failed: AlgorithmError: exit code 1; no holdout",
        ),
        (
            error({"EndpointName": "e", "EndpointStatus": "Failed", "FailureReason": "not healthy"}),
            "Endpoint e is Failed: not healthy",
        ),
        (
            error(
                {
                    "ExecutionArn": "arn",
                    "Status": "FAILED",
                    "Error": "ReleaseFailed",
                    "Cause": json.dumps({"errorMessage": "the innermost reason"}),
                }
            ),
            "the innermost reason",
        ),
        (
            error({"ExecutionArn": "arn", "Error": "ReleaseFailed", "Cause": "Endpoint e is Failed: why"}),
            "Endpoint e is Failed: why",
        ),
        (error({"ExecutionArn": "arn", "Status": "TIMED_OUT"}), "execution arn is TIMED_OUT"),
        (
            error("quota exceeded", "SageMaker.ResourceLimitExceeded"),
            "SageMaker.ResourceLimitExceeded: quota exceeded",
        ),
        (error("", "States.Timeout"), "a step ran over its time"),
        ({"Error": "States.Timeout"}, "a step ran over its time"),
        ({}, "no reason was given"),
        (error("[1]", "Odd"), "Odd: [1]"),
    ],
)
def test_a_reason_is_readable(failure: dict[str, str], reason: str) -> None:
    assert readable(failure) == reason


def test_a_reason_is_bounded() -> None:
    assert len(readable(error("x" * 5000))) == MAX_REASON_CHARACTERS


class Desk:
    """The record step with a run, a ledger, and one execution that calls it."""

    def __init__(self, runs: RunsTable, s3: FakeS3, now: datetime) -> None:
        self.runs, self.now, self.crowns = runs, now, True
        self.ledger = Ledger("ledger", s3=s3, now=lambda: now, sleep=str)
        runs.claim({"run_id": RUN, "model": "iris", "execution_arn": "execution-1"}, now=now)

    def record(self, end: dict[str, Any], run_id: str | None = RUN) -> dict[str, Any]:
        request = {
            "run_id": run_id,
            "end": end,
            "execution_arn": "execution-1",
            "entry_id": "execution-1/Record",
            "since": "2026-03-01T12:00:00.000Z",
        }
        return record(
            request,
            environment="production",
            crowns=self.crowns,
            runs=self.runs,
            ledger=self.ledger,
            now=self.now,
        )


@pytest.fixture
def desk(runs: RunsTable, s3: FakeS3, now: datetime) -> Desk:
    return Desk(runs, s3, now)


def test_a_failed_run_is_recorded_with_its_reason(desk: Desk) -> None:
    end = {"kind": "run", "status": "Failed", "error": error(TRAINING)}

    answer = desk.record(end)

    assert answer == {"reason": f"Training job {RUN}: Failed without a reason; see its log"}
    run = desk.runs.get(RUN)
    assert (run["status"], run["reason"]) == ("Failed", answer["reason"])
    (entry,) = desk.ledger.entries()
    assert (entry.kind, entry.body["run_id"], entry.body["reason"]) == ("run", RUN, answer["reason"])


@pytest.mark.parametrize("kind", ["dataset", "evaluation"])
def test_what_passed_is_in_the_ledger_and_its_run_goes_on(desk: Desk, kind: str) -> None:
    desk.record({"kind": kind, "status": "Accepted", "details": {"dataset_sha256": "d"}})

    (entry,) = desk.ledger.entries()
    assert (entry.kind, entry.body["status"], entry.body["run_id"]) == (kind, "Accepted", RUN)
    assert entry.body["details"] == {"dataset_sha256": "d"}
    assert desk.runs.get(RUN)["status"] == "Running"


def test_recording_twice_leaves_one_entry(desk: Desk) -> None:
    end = {"kind": "dataset", "status": "Quarantined", "reason": "line 2", "details": {"key": "a.csv"}}

    assert desk.record(end) == desk.record(end)
    (entry,) = desk.ledger.entries()
    assert entry.body["details"] == {"key": "a.csv"}


def test_a_release_is_noted_beside_the_runs_status(desk: Desk) -> None:
    desk.record({"kind": "release", "status": "InService", "details": {"release": {"model": "iris"}}})

    run = desk.runs.get(RUN)
    assert run["status"] == "Running"
    assert run["release_production"] == {
        "status": "InService",
        "reason": "",
        "execution_arn": "execution-1",
        "at": "2026-03-01T12:00:00+00:00",
    }


def test_a_refusal_of_no_known_run_is_in_the_ledger_alone(desk: Desk) -> None:
    desk.record({"kind": "refusal", "status": "Refused", "error": error("no"), "details": {}}, run_id=None)

    (entry,) = desk.ledger.entries()
    assert (entry.kind, entry.body["run_id"]) == ("refusal", None)
    assert desk.runs.get(RUN)["status"] == "Running"


@pytest.mark.parametrize(
    ("status", "crowns", "champion"),
    [("InService", True, RUN), ("InService", False, None), ("Failed", True, None)],
)
def test_what_production_serves_is_the_next_champion(
    status: str, crowns: bool, champion: str | None, desk: Desk
) -> None:
    desk.crowns = crowns
    reason = {"error": error("no")} if status == "Failed" else {}

    desk.record({"kind": "release", "status": status, "details": {"release": {"model": "iris"}}, **reason})

    assert desk.runs.champion("iris") == champion
