"""The append-only, hash-chained ledger: who did what, when, on which data, image and model.

Every flow writes its end here. One object per entry in the ledger bucket, `ledger/<sequence, 12
digits>.json`, holding canonical JSON with the sha256 of the entry before it. An entry is written
only if its sequence number is free, so concurrent writers neither lose an entry nor leave a gap.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import LedgerError

PREFIX = "ledger/"
_KEY = re.compile(rf"{PREFIX}([0-9]{{12}})\.json")
GENESIS = "0" * 64
MAX_ATTEMPTS = 60
REMEMBERED = 1000
# S3's 409 means that another conditional write to the same key is under way at this moment.
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; `sha256` is the hash of all the rest."""

    sequence: int
    previous: str
    at: str
    kind: str
    entry_id: str
    body: dict[str, Any]
    sha256: str


class Ledger:
    """The ledger in one bucket; remembers where its end was last seen."""

    def __init__(
        self, bucket: str, *, s3: Any, now: Callable[[], datetime], sleep: Callable[[float], None]
    ) -> None:
        self._bucket = bucket
        self._s3 = s3
        self._now = now
        self._sleep = sleep
        self._seen = 0
        # An entry never changes: an attempt after another one reads only what came meanwhile.
        self._read = lru_cache(REMEMBERED)(self._read_stored)

    def append(self, kind: str, body: dict[str, Any], *, entry_id: str, since: datetime) -> Entry:
        """The entry with this id, appended unless an earlier attempt, begun after `since`, did so.

        Raises: LedgerError when the end cannot be reached because of other writers.
        """
        for attempt in range(MAX_ATTEMPTS):
            last = self._last()
            found = self._find(entry_id, last=last, since=since - CLOCK_SKEW)
            if found:
                return found
            entry = _next_entry(last, kind=kind, body=body, entry_id=entry_id, at=self._now())
            if self._write(entry):
                return entry
            # Jitter keeps ten writers from meeting at the same sequence number again and again.
            self._sleep(random.uniform(0, min(0.05 * 2**attempt, 1.0)))  # noqa: S311
        raise LedgerError(
            f"Ledger {self._bucket}: {MAX_ATTEMPTS} attempts to append {kind} {entry_id} met other writers. "
            "Try again later."
        )

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """The entries in order, each checked against the one before.

        Raises: LedgerError naming the first broken link.
        """
        previous = self._read(after).sha256 if after else GENESIS
        stored = ((sequence, self._get(sequence)) for sequence in self._sequences(after=after))
        return check_links(stored, after=after, previous=previous)

    def _last(self) -> Entry | None:
        for sequence in self._sequences(after=max(self._seen - 1, 0)):
            self._seen = sequence
        return self._read(self._seen) if self._seen else None

    def _find(self, entry_id: str, *, last: Entry | None, since: datetime) -> Entry | None:
        entry = last
        while entry and datetime.fromisoformat(entry.at) >= since:
            if entry.entry_id == entry_id:
                return entry
            entry = self._read(entry.sequence - 1) if entry.sequence > 1 else None
        return None

    def _sequences(self, *, after: int) -> Iterator[int]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=PREFIX, StartAfter=entry_key(after)
        )
        for page in pages:
            for found in page.get("Contents", []):
                yield _sequence_of(found["Key"])

    def _read_stored(self, sequence: int) -> Entry:
        return parse_entry(self._get(sequence), sequence=sequence)

    def _get(self, sequence: int) -> bytes:
        stored: bytes = self._s3.get_object(Bucket=self._bucket, Key=entry_key(sequence))["Body"].read()
        return stored

    def _write(self, entry: Entry) -> bool:
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=entry_key(entry.sequence),
                Body=canonical(entry),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in TAKEN:
                return False
            raise
        self._seen = entry.sequence
        return True


def entry_key(sequence: int) -> str:
    """The object key of an entry; twelve digits, so that the order of keys is the order of entries."""
    return f"{PREFIX}{sequence:012d}.json"


def canonical(entry: Entry) -> bytes:
    """The only bytes that stand for this entry."""
    return _json({**_hashed_part(entry), "sha256": entry.sha256})


def check_links(
    stored: Iterable[tuple[int, bytes]], *, after: int = 0, previous: str = GENESIS
) -> Iterator[Entry]:
    """The entries in these bytes, which stand under these numbers; `previous` is the hash of entry `after`.

    Raises: LedgerError naming the first broken link: which entry, and what differs.
    """
    expected = after
    for sequence, content in stored:
        expected += 1
        if sequence != expected:
            raise LedgerError(f"Ledger: entry {expected} is missing; entry {sequence} comes next.")
        entry = parse_entry(content, sequence=sequence)
        if entry.previous != previous:
            raise LedgerError(
                f"Ledger: entry {sequence} does not follow from entry {sequence - 1}, whose hash is "
                f"{previous}: it follows from {entry.previous}."
            )
        previous = entry.sha256
        yield entry


def verify_ledger(entries: Iterable[Entry], *, head: str | None = None) -> Entry | None:
    """The last entry of an unbroken chain; None for an empty one.

    An end that was cut off cannot be seen in what is left: `head` is the hash of an entry that was the last
    one earlier, and has to be among them. Raises: LedgerError.
    """
    last, found = None, head in (None, GENESIS)
    for last in entries:
        found = found or last.sha256 == head
    if not found:
        where = f"ends with entry {last.sequence}, {last.sha256}" if last else "is empty"
        raise LedgerError(
            f"Ledger: no entry has the hash {head}; it {where}. It was cut off, or written anew."
        )
    return last


def parse_entry(stored: bytes, *, sequence: int) -> Entry:
    """The entry in these bytes. Raises: LedgerError when a single byte is not as it was written."""
    changed = f"Ledger entry {sequence} was changed after it was written"
    try:
        entry = Entry(**json.loads(stored))
        computed = hashlib.sha256(_json(_hashed_part(entry))).hexdigest()
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(f"{changed}: it cannot be read as one: {error!r}") from None
    if entry.sequence != sequence:
        raise LedgerError(f"{changed}: it says that it is entry {entry.sequence}.")
    if entry.sha256 != computed:
        raise LedgerError(f"{changed}: its hash is {computed}, and it says {entry.sha256}.")
    if canonical(entry) != stored:
        raise LedgerError(f"{changed}: it says the same in other bytes.")
    return entry


def _next_entry(last: Entry | None, *, kind: str, body: dict[str, Any], entry_id: str, at: datetime) -> Entry:
    part: dict[str, Any] = {
        "sequence": last.sequence + 1 if last else 1,
        "previous": last.sha256 if last else GENESIS,
        "at": at.isoformat(),
        "kind": kind,
        "entry_id": entry_id,
        "body": body,
    }
    return Entry(**part, sha256=hashlib.sha256(_json(part)).hexdigest())


def _hashed_part(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in vars(entry).items() if name != "sha256"}


def _sequence_of(key: str) -> int:
    matched = _KEY.fullmatch(key)
    if not matched:
        raise LedgerError(f"Ledger object {key} is not an entry; nothing else may stand under {PREFIX}.")
    return int(matched[1])


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
