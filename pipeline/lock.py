"""The lock on a root's Terraform state: who holds it, since when, and how it is freed by hand.

Flow 1 (merge to main): Terraform takes the lock for a plan or an apply and gives it back. A Terraform that
was killed leaves it behind, and nobody but a person can know that it is dead.

Source: the S3 backend's `use_lockfile`: an object beside the state, written only where there is none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import UsageError

_ABSENT = {"404", "NoSuchBucket", "NoSuchKey", "NotFound"}
# Terraform's own words for people, on one line.
_TOLD = re.compile(
    r"Lock Info: ID: (?P<id>\S+) .*?Operation: (?P<operation>\S*) Who: (?P<who>\S+) .*?"
    r"Created: (?P<created>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
)


@dataclass(frozen=True)
class StateLock:
    """`etag` is of the lock's object, where it was read from there."""

    id: str
    owner: str
    operation: str
    created_at: datetime
    etag: str | None = None

    def describe(self, *, now: datetime) -> str:
        """For example: `held by ann@host since 3 min (plan, id 1b2c…)`."""
        operation = self.operation.removeprefix("OperationType").lower() or "unknown operation"
        return f"held by {self.owner} since {describe_age(now - self.created_at)} ({operation}, id {self.id})"


def describe_age(age: timedelta) -> str:
    """In the largest unit that says something: 40 s, 3 min, 5 h, 2 d."""
    seconds = max(int(age.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def find_told_lock(text: str) -> StateLock | None:
    """The lock that Terraform names when it cannot have it."""
    told = _TOLD.search(" ".join(text.split()))
    if not told:
        return None
    created = datetime.strptime(told["created"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return StateLock(id=told["id"], owner=told["who"], operation=told["operation"], created_at=created)


def read_lock(s3: Any, bucket: str, state_key: str) -> StateLock | None:
    """The lock on that state; None where it is free."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=f"{state_key}.tflock")
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise
    told = json.loads(answer["Body"].read())
    return StateLock(
        id=told["ID"],
        owner=told["Who"],
        operation=told["Operation"],
        created_at=datetime.fromisoformat(told["Created"][:19]).replace(tzinfo=UTC),
        etag=answer["ETag"],
    )


def free_lock(s3: Any, bucket: str, state_key: str, *, lock_id: str, now: datetime) -> StateLock:
    """Frees the lock with this id, and no other. Raises: UsageError when it is free or another's."""
    lock = read_lock(s3, bucket, state_key)
    if lock is None:
        raise UsageError(f"{state_key} is not locked.")
    if lock.id != lock_id:
        raise UsageError(
            f"The lock of {state_key} is {lock.describe(now=now)}, not {lock_id}. "
            "Look at who holds it before you free it."
        )
    # Only this very lock: whoever took it in the meantime keeps it.
    s3.delete_object(Bucket=bucket, Key=f"{state_key}.tflock", IfMatch=lock.etag)
    return lock
