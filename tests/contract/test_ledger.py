"""The ledger on a real S3: ten writers at once, and ten thousand changed bytes."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from local_aws import LocalAws

from pipeline.errors import LedgerError
from pipeline.ledger import GENESIS, Entry, Ledger, check_links, entry_key, verify_ledger

WRITERS = 10
EACH = 2
ALTERATIONS = 10_000


def now() -> datetime:
    return datetime.now(UTC)


def open_ledger(aws: LocalAws, bucket: str) -> Ledger:
    return Ledger(bucket, s3=aws.client("s3"), now=now, sleep=time.sleep)


def write(aws: LocalAws, bucket: str, writer: int) -> list[Entry]:
    """One writer's entries; each is written twice, as by a retry."""
    ledger, entries = open_ledger(aws, bucket), []
    for number in range(EACH):
        since, entry_id = now(), f"writer-{writer}/{number}"
        for _ in range(2):
            body = {"writer": writer, "number": number, "reason": "because"}
            entry = ledger.append("release", body, entry_id=entry_id, since=since)
        entries.append(entry)
    return entries


@pytest.fixture(scope="module")
def bucket(aws: LocalAws) -> str:
    """A bucket into which ten wrote at once."""
    name = "test-ledger-of-ten"
    aws.client("s3").create_bucket(Bucket=name)
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda writer: write(aws, name, writer), range(WRITERS)))
    return name


@pytest.fixture(scope="module")
def stored(aws: LocalAws, bucket: str) -> list[bytes]:
    s3 = aws.client("s3")
    keys = [entry_key(sequence) for sequence in range(1, WRITERS * EACH + 1)]
    return [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]


def test_ten_writers_at_once_leave_no_gap_and_lose_nothing(aws: LocalAws, bucket: str) -> None:
    entries = list(open_ledger(aws, bucket).entries())

    assert [entry.sequence for entry in entries] == list(range(1, WRITERS * EACH + 1))
    assert sorted(entry.entry_id for entry in entries) == sorted(
        f"writer-{writer}/{number}" for writer in range(WRITERS) for number in range(EACH)
    )
    assert verify_ledger(entries) == entries[-1]


def test_each_of_ten_thousand_changed_bytes_is_found_and_its_entry_named(stored: list[bytes]) -> None:
    entries = list(check_links(enumerate(stored, start=1)))
    hashes = [GENESIS, *(entry.sha256 for entry in entries)]
    # The same places each time.
    chance = random.Random(20261121)
    unfound = []
    for _ in range(ALTERATIONS):
        sequence = chance.randrange(1, len(stored) + 1)
        content = bytearray(stored[sequence - 1])
        place = chance.randrange(len(content))
        content[place] ^= chance.randrange(1, 256)
        # What comes before is not changed, so checking begins behind it.
        altered = [
            (sequence, bytes(content)),
            *enumerate(stored[sequence : sequence + 1], start=sequence + 1),
        ]
        try:
            verify_ledger(check_links(altered, after=sequence - 1, previous=hashes[sequence - 1]))
        except LedgerError as error:
            if f"entry {sequence} was changed" in str(error):
                continue
        unfound.append((sequence, place, content[place]))

    assert unfound == []


def test_an_entry_that_is_put_in_anew_with_its_hash_breaks_the_next_link(stored: list[bytes]) -> None:
    forged = stored.copy()
    del forged[4]

    with pytest.raises(
        LedgerError, match="entry 5 was changed after it was written: it says that it is entry 6"
    ):
        verify_ledger(check_links(enumerate(forged, start=1)))
