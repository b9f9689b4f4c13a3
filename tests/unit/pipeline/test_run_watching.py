from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pipeline.errors import RunError, UsageError
from pipeline.runs_table import RunsTable
from pipeline.watch import Patience, check_release, check_run, follow_release, follow_run

IMPATIENT = Patience(start_s=0.05, end_s=0.05, every_s=0.001)
PATIENT = Patience(start_s=5, end_s=5, every_s=0.001)
RUN = {"run_id": "iris-1", "bucket": "b", "key": "k", "version_id": "v", "execution_arn": "arn"}


class Runs:
    """Gives one answer after the other, the last one for ever; None is a run that is not there yet."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self._answers = list(answers)

    def get(self, run_id: str) -> dict[str, Any]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise UsageError(f"There is no run {run_id}.")
        return RUN | answer


class States:
    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    def get_paginator(self, _operation: str) -> States:
        return self

    def paginate(self, **_request: str) -> Iterator[dict[str, Any]]:
        yield {"events": list(self._events)}


def entered(event_id: int, name: str) -> dict[str, Any]:
    when = datetime(2026, 1, 2, 3, 4, event_id, tzinfo=UTC)
    return {"id": event_id, "timestamp": when, "stateEnteredEventDetails": {"name": name}}


def follow(runs: Runs, *, past_gate: bool = False, patience: Patience = PATIENT) -> tuple[Any, list[str]]:
    lines: list[str] = []
    states = States(entered(1, "Claim"), entered(2, "Train"))
    run = follow_run(
        cast(RunsTable, runs), states, "iris-1", past_gate=past_gate, patience=patience, report=lines.append
    )
    return run, lines


def test_a_run_is_followed_to_its_gate_and_each_state_told_once() -> None:
    running, waiting = {"status": "Running"}, {"status": "WaitingForApproval"}

    run, lines = follow(Runs(None, None, running, running, running, waiting))

    assert run["status"] == "WaitingForApproval"
    assert lines[1:] == ["iris-1: 03:04:01 Claim", "iris-1: 03:04:02 Train"]


def test_past_the_gate_the_answer_is_waited_for() -> None:
    run, _lines = follow(Runs({"status": "WaitingForApproval"}, {"status": "Approved"}), past_gate=True)

    assert run["status"] == "Approved"


def test_a_run_that_never_starts_is_an_error() -> None:
    with pytest.raises(RunError, match=r"Run iris-1 did not start within 0.05 s"):
        follow(Runs(None), patience=IMPATIENT)


def test_a_run_that_does_not_end_in_time_is_an_error() -> None:
    with pytest.raises(RunError, match="is still Running after"):
        follow(Runs({"status": "Running"}), patience=IMPATIENT)


@pytest.mark.parametrize("status", ["Quarantined", "RejectedByGates", "Rejected", "Expired", "Failed"])
def test_a_bad_end_carries_the_runs_own_reason(status: str) -> None:
    with pytest.raises(RunError, match=f"Run iris-1 is {status}: line 4, column a"):
        check_run(RUN | {"status": status, "reason": "line 4, column a"})


@pytest.mark.parametrize("status", ["WaitingForApproval", "Approved"])
def test_a_good_end_is_none(status: str) -> None:
    check_run(RUN | {"status": status})


def test_a_release_is_waited_for() -> None:
    runs = Runs({}, {"release_production": {"status": "InService", "at": "now"}})

    outcome = follow_release(
        cast(RunsTable, runs), "iris-1", environment="production", patience=PATIENT, report=lambda _line: None
    )

    assert outcome["status"] == "InService"


def test_a_failed_release_is_an_error_with_its_reason() -> None:
    with pytest.raises(RunError, match="release of run iris-1 into production is Failed: unhealthy"):
        check_release("iris-1", "production", {"status": "Failed", "reason": "unhealthy"})
