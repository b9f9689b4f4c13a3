"""Start what no event reported, and let go what was stopped. Flow: dataset upload, beside it; a schedule.

CloudTrail's events are best effort, and an event may be given up on. Each upload that is older than the
grace, which events have to come by themselves, is held against the runs table. What is started passes the
claim like any event, so that an upload whose event comes late has one run all the same.

An execution that is stopped by hand, or runs over its time, records nothing of itself. Step Functions stops
its job; here its run is called Stopped, and the ledger says so, which gives back its claim. Whatever of it a
round does not come to, the next one does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from pipeline.artefact import Version
from pipeline.lambdas import edge
from pipeline.ledger import Ledger
from pipeline.runs_table import RunsTable, is_entered, run_id

UNDER_WAY = ("Running", "WaitingForApproval")
# Step Functions forgets an execution 90 days after its end.
GONE = "GONE"
RECORDLESS = {
    "ABORTED": "was stopped",
    "TIMED_OUT": "ran over its time",
    "FAILED": "could not record its end",
    GONE: "ended so long ago that AWS no longer knows it",
}

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


@dataclass(frozen=True)
class Route:
    """Where a model's datasets are uploaded, and what an upload starts."""

    prefix: str
    state_machine_arn: str


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{routes: {model: {prefix, state_machine_arn}}, grace_s, lookback_s} -> {started, stopped: [run id]}"""
    now = edge.now()
    started = list(
        reconcile(
            {model: Route(**route) for model, route in event["routes"].items()},
            bucket=edge.settings().data_bucket,
            since=now - timedelta(seconds=event["lookback_s"]),
            until=now - timedelta(seconds=event["grace_s"]),
            s3=edge.client("s3"),
            states=edge.client("stepfunctions"),
            runs=edge.runs(),
        )
    )
    stopped = list(release_claims(states=edge.client("stepfunctions"), runs=edge.runs(), now=now))
    enter_stops(environment=edge.settings().environment, runs=edge.runs(), ledger=edge.ledger(), now=now)
    logger.info("started %s, stopped %s", json.dumps(started), json.dumps(stopped))
    return {"started": started, "stopped": stopped}


def reconcile(
    routes: Mapping[str, Route],
    *,
    bucket: str,
    since: datetime,
    until: datetime,
    s3: Any,
    states: Any,
    runs: RunsTable,
) -> Iterator[str]:
    """The run of each upload of that time that had none, as it is started; the oldest upload first."""
    for model, route in routes.items():
        for upload in _find_uploads(bucket, route.prefix, since=since, until=until, s3=s3):
            name = run_id(model, upload)
            if not runs.has(name):
                states.start_execution(
                    stateMachineArn=route.state_machine_arn, input=json.dumps(_as_event(upload))
                )
                yield name


def release_claims(*, states: Any, runs: RunsTable, now: datetime) -> Iterator[str]:
    """Each run whose execution ended without a record of it, as it is called Stopped."""
    for run in runs.all():
        if run["status"] not in UNDER_WAY:
            continue
        execution = _describe(run["execution_arn"], states=states)
        if execution["status"] not in RECORDLESS:
            continue
        if runs.release(run["run_id"], holder=run["execution_arn"], reason=_why(execution), now=now):
            yield run["run_id"]


def enter_stops(*, environment: str, runs: RunsTable, ledger: Ledger, now: datetime) -> None:
    """Enter each run that was stopped into the ledger, once, as `record` does other ends."""
    for run in runs.all():
        if run["status"] != "Stopped" or is_entered(run):
            continue
        holder = run["execution_arn"]
        body = {
            "environment": environment,
            "run_id": run["run_id"],
            "status": "Stopped",
            "reason": run["reason"],
            "execution_arn": holder,
            "details": {},
        }
        since = datetime.fromisoformat(run["stopped_at"])
        ledger.append("run", body, entry_id=f"{holder}/Stopped", since=since)
        runs.note(run["run_id"], {"entered": holder}, now=now)


def _describe(execution_arn: str, *, states: Any) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = states.describe_execution(executionArn=execution_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return {"status": GONE}
    return found


def _why(execution: Mapping[str, Any]) -> str:
    said = ": ".join(execution[name] for name in ("error", "cause") if execution.get(name))
    return f"the execution {RECORDLESS[execution['status']]}" + (f": {said}" if said else "")


def _find_uploads(
    bucket: str, prefix: str, *, since: datetime, until: datetime, s3: Any
) -> Iterator[Version]:
    """Every version uploaded in that time, the oldest first."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    listed = [version for version in pages.search("Versions[]") if version]
    # A key's versions are listed the newest first, and several may be of one second.
    listed.reverse()
    found = [version for version in listed if since <= version["LastModified"] <= until]
    for version in sorted(found, key=lambda version: version["LastModified"]):
        yield Version(bucket, version["Key"], version["VersionId"])


def _as_event(upload: Version) -> dict[str, Any]:
    """What the trigger's rules pass on; who uploaded it, only CloudTrail's event can tell."""
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "version_id": upload.version_id,
        "uploaded_by": None,
        "route": "reconciler",
    }
