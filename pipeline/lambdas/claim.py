"""Claim an upload for one execution. Flow: dataset upload, first step.

S3's own event and CloudTrail's lead here, each at least once. Whoever is first runs; all others end
as duplicates, but a duplicate that knows the uploader's name leaves it behind.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.approval import person
from pipeline.artefact import Version
from pipeline.errors import UsageError
from pipeline.lambdas import edge
from pipeline.runs_table import RunsTable, run_id


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{model, execution_arn, event} -> {outcome: claimed|duplicate, run_id}"""
    return claim(event, runs=edge.runs(), now=edge.now())


def claim(request: dict[str, Any], *, runs: RunsTable, now: datetime) -> dict[str, Any]:
    """Whether this execution has the run, and the run's name."""
    upload = _parse_upload(request["event"])
    uploader = request["event"].get("uploaded_by")
    item = {
        "run_id": run_id(request["model"], upload),
        "model": request["model"],
        "bucket": upload.bucket,
        "key": upload.key,
        "version_id": upload.version_id,
        "route": request["event"].get("route"),
        "uploaded_by": person(uploader) if uploader else None,
        "execution_arn": request["execution_arn"],
    }
    claimed = runs.claim(item, now=now)
    if not claimed and item["uploaded_by"]:
        runs.name_uploader(item["run_id"], uploaded_by=item["uploaded_by"])
    return {"outcome": "claimed" if claimed else "duplicate", "run_id": item["run_id"]}


def _parse_upload(event: dict[str, Any]) -> Version:
    """The uploaded version. Raises: UsageError when the event names none."""
    missing = [name for name in ("bucket", "key", "version_id") if not event.get(name)]
    if missing:
        raise UsageError(
            f"The upload event names no {', '.join(missing)}: {event}. The data bucket needs versioning, "
            "and the trigger's input transformer has to pass all three."
        )
    return Version(bucket=event["bucket"], key=event["key"], version_id=event["version_id"])
