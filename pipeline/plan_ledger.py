"""The ledger's entries on infrastructure: plans, approvals, rejections and applies, as their records tell.

Flow 1, behind each of its steps. Who plans, approves or applies cannot write the ledger: each leaves a
record in the state's bucket, written once, and a function with the ledger's own role enters what is not
entered yet. It goes by what is there, not by what an event says: one that is lost, late or doubled does no
harm.
`noted/<record's key>` in the ledger's bucket tells which entry is about which record.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import PipelineError
from pipeline.ledger import Entry, Ledger
from pipeline.once import put_once
from pipeline.plan_approval import Registry, open_plan_approval
from pipeline.plans import count_changes, parse_manifest
from pipeline.signing import canonical

NOTED = "noted/"
_RECORD = re.compile(
    r"(?:(?P<plans>plans)|approvals/(?:people|ci)|rejections|applied|ended)"
    r"/(?P<stack>[a-z-]+)/(?P<plan>[0-9a-f]{64})(?(plans)/manifest|(?:/[^/]+)?)\.json"
)


@dataclass(frozen=True)
class Record:
    """One record as it lies in the bucket."""

    key: str
    stack: str
    plan_sha256: str
    written_at: datetime

    @property
    def folder(self) -> str:
        return self.key.partition("/")[0]


@dataclass(frozen=True)
class Account:
    """What a record says happened."""

    status: str
    by: str
    reason: str
    details: Mapping[str, Any]


def note_records(registry: Registry, ledger: Ledger, *, ledger_bucket: str) -> list[Entry]:
    """The entries that were missing, in the order in which their records were written."""
    noted = {key.removeprefix(NOTED) for key, _ in _list(registry.s3, ledger_bucket, NOTED)}
    entered = []
    for record in sorted(find_records(registry), key=_order):
        if record.key not in noted:
            entered.append(_enter(registry, ledger, record, ledger_bucket=ledger_bucket))
    return entered


def find_records(registry: Registry) -> Iterator[Record]:
    """All that were left behind in the bucket; what else lies there is none."""
    for folder in _RECORDS:
        for key, written_at in _list(registry.s3, registry.bucket, f"{folder}/"):
            if match := _RECORD.fullmatch(key):
                yield Record(key, match["stack"], match["plan"], written_at)


def read_record(registry: Registry, record: Record, stored: bytes) -> Account:
    """What it says. One that is not what it should be is told as such: it is found here first."""
    try:
        return _RECORDS[record.folder].read(registry, record, stored)
    except (PipelineError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, PipelineError) else f"cannot be read: {error!r}"
        return Account("Refused", "", reason, {})


def _enter(registry: Registry, ledger: Ledger, record: Record, *, ledger_bucket: str) -> Entry:
    answer = registry.s3.get_object(Bucket=registry.bucket, Key=record.key)
    stored = answer["Body"].read()
    told = read_record(registry, record, stored)
    body = {
        "environment": record.stack.partition("-")[2] or "shared",
        "stack": record.stack,
        "plan_sha256": record.plan_sha256,
        "status": told.status,
        "by": told.by,
        "reason": told.reason,
        "details": told.details,
        "record": {
            "bucket": registry.bucket,
            "key": record.key,
            "version_id": answer.get("VersionId"),
            "sha256": hashlib.sha256(stored).hexdigest(),
            "written_at": record.written_at.isoformat(),
        },
    }
    entry_id = f"s3://{registry.bucket}/{record.key}"
    entry = ledger.append(_RECORDS[record.folder].kind, body, entry_id=entry_id, since=record.written_at)
    note = canonical({"sequence": entry.sequence, "sha256": entry.sha256})
    put_once(note, s3=registry.s3, bucket=ledger_bucket, key=f"{NOTED}{record.key}")
    return entry


def _read_plan(_: Registry, record: Record, stored: bytes) -> Account:
    manifest = parse_manifest(stored)
    if (manifest.stack, manifest.plan_sha256) != (record.stack, record.plan_sha256):
        raise ValueError(f"the manifest is of {manifest.stack}'s plan {manifest.plan_sha256}")
    details = {
        "commit": manifest.commit,
        "changes": count_changes(manifest.changes),
        "policy_findings": [dataclasses.asdict(finding) for finding in manifest.verdict.findings],
        "cost_difference_usd": manifest.cost.difference_usd,
        "prices_of": manifest.cost.prices_of,
        **dataclasses.asdict(manifest.basis),
    }
    return Account("Planned", ", ".join(manifest.authors), "", details)


def _read_approval(registry: Registry, record: Record, stored: bytes) -> Account:
    approval = open_plan_approval(registry, stored, key=record.key)
    if approval.subject.plan_sha256 != record.plan_sha256:
        raise ValueError(f"the approval is of plan {approval.subject.plan_sha256}")
    details = approval.record()
    return Account("Approved", approval.approver, approval.reason, details)


def _read_rejection(_: Registry, __: Record, stored: bytes) -> Account:
    said = json.loads(stored)
    return Account("Rejected", str(said["rejected_by"]), str(said["reason"]), {})


def _read_start(_: Registry, __: Record, stored: bytes) -> Account:
    said = json.loads(stored)
    return Account("Started", str(said["applied_by"]), "", {"approval_nonce": str(said["nonce"])})


def _read_end(_: Registry, __: Record, stored: bytes) -> Account:
    said = json.loads(stored)
    status = {"Applied": "Applied", "Failed": "Failed"}[said["status"]]
    return Account(status, str(said["applied_by"]), str(said["reason"]), {})


@dataclass(frozen=True)
class _Records:
    """What is in one of the bucket's folders: the kind of its entries, and who reads them."""

    kind: str
    read: Callable[[Registry, Record, bytes], Account]


# Within one second, which is all that S3 tells, this is the order in which things can have happened.
_RECORDS = {
    "plans": _Records("plan", _read_plan),
    "approvals": _Records("approval", _read_approval),
    "rejections": _Records("rejection", _read_rejection),
    "applied": _Records("apply", _read_start),
    "ended": _Records("apply", _read_end),
}


def _order(record: Record) -> tuple[datetime, int, str]:
    return record.written_at, list(_RECORDS).index(record.folder), record.key


def _list(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, datetime]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            yield str(found["Key"]), found["LastModified"]
