"""What answered at a time gone by: model, image and dataset, as the ledger tells. Flow 3, looked back at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.errors import UsageError
from pipeline.ledger import Entry
from pipeline.settings import Environment


@dataclass(frozen=True)
class Served:
    """`since` is when the release had passed its smoke test; `entry` and `entry_sha256` are the proof.

    `doubt` is set after a release that failed and could not be rolled back.
    """

    environment: str
    model: str
    at: str
    since: str
    run_id: str
    endpoint: str
    endpoint_config: str
    model_package: str
    model_sha256: str
    image_digest: str
    dataset_sha256: str | None
    dataset_version_id: str | None
    commit: str
    approved_by: str | None
    entry: int
    entry_sha256: str
    doubt: str | None = None


def parse_time(text: str, *, now: datetime) -> datetime:
    """The time in ISO 8601, in UTC where it names no zone. Raises: UsageError, also for one to come."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time. Write it as 2026-03-01, 2026-03-01T12:00 (UTC) or 2026-03-01T12:00+01:00."
        ) from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if time > now:
        raise UsageError(f"{time.isoformat()} is still to come; it is {now.isoformat(timespec='seconds')}.")
    return time


def find_served(entries: Iterable[Entry], *, environment: Environment, model: str, at: datetime) -> Served:
    """Raises: UsageError where nothing of the model answered there then."""
    released: Entry | None = None
    doubt = first = removed = None
    for entry in entries:
        when, kind, status = datetime.fromisoformat(entry.at), entry.kind, entry.body.get("status")
        if entry.body.get("environment") != environment:
            continue
        if kind == "expiry" and released and when <= at and _removes(entry, released):
            released, removed = None, entry
        if kind != "release" or entry.body["details"]["release"]["model"] != model:
            continue
        if status == "InService" and when <= at:
            released, doubt, removed = entry, None, None
        elif status == "InService":
            first = first or entry
        elif status == "RollbackFailed" and when <= at:
            doubt = (
                f"the release of run {entry.body['run_id']} failed at {entry.at} (entry {entry.sequence}) "
                "and could not be rolled back: from then on either may have answered"
            )
    if released is None:
        raise UsageError(_absence(environment, model, at, first=first, removed=removed))
    return _describe(released, at=at, doubt=doubt)


def _removes(expiry: Entry, released: Entry) -> bool:
    endpoint = released.body["details"]["release"]["endpoint_name"]
    return any(
        (resource["kind"], resource["name"]) == ("endpoint", endpoint)
        for resource in expiry.body.get("details", {}).get("removed", [])
    )


def _absence(
    environment: str, model: str, at: datetime, *, first: Entry | None, removed: Entry | None
) -> str:
    if removed:
        return (
            f"Nothing of {model} answered in {environment} at {at.isoformat()}: its endpoint was removed at "
            f"{removed.at} (entry {removed.sequence})."
        )
    if first:
        return (
            f"Nothing of {model} had been released into {environment} at {at.isoformat()}: the first release "
            f"is of {first.at} (entry {first.sequence})."
        )
    return f"Nothing of {model} had been released into {environment} at {at.isoformat()}, or has been since."


def _describe(entry: Entry, *, at: datetime, doubt: str | None) -> Served:
    release = entry.body["details"]["release"]
    return Served(
        environment=release["environment"],
        model=release["model"],
        at=at.isoformat(),
        since=entry.at,
        run_id=release["run_id"],
        endpoint=release["endpoint_name"],
        endpoint_config=release["endpoint_config_name"],
        model_package=release["model_package_arn"],
        model_sha256=release["model_sha256"],
        image_digest=release["image_digest"],
        dataset_sha256=release.get("dataset_sha256"),
        dataset_version_id=release.get("dataset_version_id"),
        commit=release["commit"],
        approved_by=release.get("approved_by"),
        entry=entry.sequence,
        entry_sha256=entry.sha256,
        doubt=doubt,
    )
