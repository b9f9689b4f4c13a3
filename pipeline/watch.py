"""Following a run to its gate or end, and its release into an environment. Flows 2 and 3, from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from pipeline.errors import RunError, UsageError
from pipeline.runs_table import RunsTable, release_attribute

Report = Callable[[str], None]
Run = dict[str, Any]

GATE = "WaitingForApproval"
ENDED = (
    "Superseded",
    "Quarantined",
    "RejectedByGates",
    "Approved",
    "Rejected",
    "Expired",
    "Stopped",
    "Failed",
)
GOOD = (GATE, "Approved")


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, and how often to look."""

    start_s: float = 60
    end_s: float = 3600
    every_s: float = 1.0


def follow_run(
    runs: RunsTable, states: Any, run_id: str, *, past_gate: bool, patience: Patience, report: Report
) -> Run:
    """The run at its end, or at its gate unless `past_gate`; reports each state that its execution enters."""
    until = ENDED if past_gate else (GATE, *ENDED)
    run = wait_for_run(runs, run_id, patience=patience)
    report(f"{run_id}: {run['status']}, {run['bucket']}/{run['key']} version {run['version_id']}")
    deadline = time.monotonic() + patience.end_s
    # Past the gate only what is new is told; what led there has been seen.
    seen = (
        max((number for number, _ in read_progress(states, run["execution_arn"])), default=0)
        if past_gate
        else 0
    )
    while True:
        run = runs.get(run_id)
        for event_id, line in read_progress(states, run["execution_arn"], after=seen):
            seen = event_id
            report(f"{run_id}: {line}")
        if run["status"] in until:
            return run
        if time.monotonic() > deadline:
            raise RunError(
                f"Run {run_id} is still {run['status']} after {patience.end_s:g} s. Watch it again."
            )
        time.sleep(patience.every_s)


def wait_for_run(runs: RunsTable, run_id: str, *, patience: Patience) -> Run:
    """The run item, which the state machine's first state writes."""
    looking = Retrying(
        retry=retry_if_result(lambda run: run is None),
        stop=stop_after_delay(patience.start_s),
        wait=wait_fixed(patience.every_s),
        retry_error_callback=lambda _state: None,
    )
    run = looking(lambda: find_run(runs, run_id))
    if run is None:
        raise RunError(
            f"Run {run_id} did not start within {patience.start_s:g} s. See the dead-letter queue; "
            "`mlops runs` lists what did start."
        )
    return run


def find_run(runs: RunsTable, run_id: str) -> Run | None:
    try:
        return runs.get(run_id)
    except UsageError:
        return None


def read_progress(states: Any, execution_arn: str, *, after: int = 0) -> Iterator[tuple[int, str]]:
    """Event ids and lines of what the execution did since the event `after`."""
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    for page in pages:
        for event in page["events"]:
            if event["id"] > after and (line := describe_event(event)):
                yield event["id"], line


def describe_event(event: Mapping[str, Any]) -> str | None:
    """A line for a state that is entered or a task that failed; None for the rest."""
    if entered := event.get("stateEnteredEventDetails"):
        return f"{event['timestamp']:%H:%M:%S} {entered['name']}"
    for name in ("taskFailedEventDetails", "lambdaFunctionFailedEventDetails", "executionFailedEventDetails"):
        if failed := event.get(name):
            cause = failed.get("cause", "")[:300]
            return f"{event['timestamp']:%H:%M:%S} failed: {failed.get('error')}: {cause}"
    return None


def follow_release(
    runs: RunsTable, run_id: str, *, environment: str, patience: Patience, report: Report
) -> dict[str, Any]:
    """How the run's release into the environment ended: {status, reason, execution_arn, at}."""
    report(f"{run_id}: waiting for its release into {environment}")
    attribute = release_attribute(environment)
    looking = Retrying(
        retry=retry_if_result(lambda outcome: outcome is None),
        stop=stop_after_delay(patience.end_s),
        wait=wait_fixed(patience.every_s),
        retry_error_callback=lambda _state: None,
    )
    outcome: dict[str, Any] | None = looking(lambda: runs.get(run_id).get(attribute))
    if outcome is None:
        raise RunError(
            f"Run {run_id} was not released into {environment} within {patience.end_s:g} s. "
            "See the executions of its release state machine."
        )
    return outcome


def check_run(run: Run) -> None:
    """Raises: RunError, with the run's own reason, unless it waits for a person or is approved."""
    if run["status"] not in GOOD:
        raise RunError(
            f"Run {run['run_id']} is {run['status']}: {run.get('reason') or 'no reason was given'}"
        )


def check_release(run_id: str, environment: str, outcome: Mapping[str, Any]) -> None:
    if outcome["status"] != "InService":
        raise RunError(
            f"The release of run {run_id} into {environment} is {outcome['status']}: {outcome.get('reason')}"
        )
