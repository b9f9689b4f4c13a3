"""Claim an upload for one execution. Flow: dataset upload, first step.

S3's own event, CloudTrail's and the reconciler lead here, each at least once and in any order. Whoever is
first runs; all others end as duplicates, but a duplicate that knows the uploader's name leaves it behind. A
version that comes after a newer one of the same key has claimed a run is superseded: the newest wins.

A run that was stopped has given its claim back (reconcile). No event may take it: one that comes late would
undo what somebody wanted. Whoever starts the machine by hand may while it has no model, which only an
administrator can; its jobs get names of their own. Who uploaded the dataset, and so may not approve it, only
an event says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.approval import person
from pipeline.artefact import Version
from pipeline.errors import UsageError
from pipeline.lambdas import edge
from pipeline.runs_table import RunsTable, run_id

EVENT_ROUTES = ("s3", "cloudtrail", "reconciler")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{model, execution_arn, event} -> {outcome: claimed|superseded|duplicate, run_id, job_name, reason}"""
    return claim(event, s3=edge.client("s3"), runs=edge.runs(), now=edge.now())


def claim(request: dict[str, Any], *, s3: Any, runs: RunsTable, now: datetime) -> dict[str, Any]:
    """Whether this execution has the run and shall go on with it, and the names of the run and its jobs."""
    upload = _parse_upload(request["event"])
    route = request["event"].get("route")
    by_event = route in EVENT_ROUTES
    uploader = request["event"].get("uploaded_by") if by_event else None
    item = {
        "run_id": run_id(request["model"], upload),
        "model": request["model"],
        "bucket": upload.bucket,
        "key": upload.key,
        "version_id": upload.version_id,
        "route": route,
        "uploaded_by": person(uploader) if uploader else None,
        "execution_arn": request["execution_arn"],
    }
    number = runs.claim(item, now=now, again=not by_event)
    names = {
        "run_id": item["run_id"],
        "job_name": item["run_id"] if number < 2 else f"{item['run_id']}-r{number}",
    }
    if not number:
        if item["uploaded_by"]:
            runs.name_uploader(item["run_id"], uploaded_by=item["uploaded_by"])
        return {**names, "outcome": "duplicate", "reason": ""}
    newer = _find_newer_run(request["model"], upload, s3=s3, runs=runs)
    return {
        **names,
        "outcome": "superseded" if newer else "claimed",
        "reason": f"a newer version of {upload.key} came before this one: see run {newer}" if newer else "",
    }


def _find_newer_run(model: str, upload: Version, *, s3: Any, runs: RunsTable) -> str | None:
    """The run of a newer version of the same key, or None.

    S3 lists a key's versions the newest first, also those of one second; the key before those that it begins.
    """
    newer: list[str] = []
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=upload.bucket, Prefix=upload.key)
    for version in pages.search("Versions[]"):
        if version is None or version["Key"] != upload.key:
            break
        if version["VersionId"] == upload.version_id:
            return next((name for name in newer if runs.has(name)), None)
        newer.append(run_id(model, Version(upload.bucket, upload.key, version["VersionId"])))
    # This version was deleted meanwhile; validation will say so.
    return None


def _parse_upload(event: dict[str, Any]) -> Version:
    """The uploaded version. Raises: UsageError when the event names none."""
    missing = [name for name in ("bucket", "key", "version_id") if not event.get(name)]
    if missing:
        raise UsageError(
            f"The upload event names no {', '.join(missing)}: {event}. The data bucket needs versioning, "
            "and the trigger's input transformer has to pass all three."
        )
    return Version(bucket=event["bucket"], key=event["key"], version_id=event["version_id"])
