"""The ledger: no gap, no loss, no double, and every change is found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lambda_fakes import FakeS3, client_error

from pipeline.errors import LedgerError
from pipeline.ledger import GENESIS, Ledger, entry_key, parse_entry, verify_ledger

START = datetime.fromisoformat("2026-03-01T12:00:00+00:00")


def make_ledger(s3: FakeS3, *, sleeps: list[float] | None = None) -> Ledger:
    return Ledger("ledger", s3=s3, now=lambda: START, sleep=(sleeps if sleeps is not None else []).append)


def fill(s3: FakeS3, count: int) -> Ledger:
    ledger = make_ledger(s3)
    for number in range(1, count + 1):
        ledger.append("run", {"number": number}, entry_id=f"entry-{number}", since=START)
    return ledger


def test_entries_are_chained_in_order(s3: FakeS3) -> None:
    fill(s3, 8)

    entries = list(make_ledger(s3).entries())

    assert [entry.sequence for entry in entries] == list(range(1, 9))
    assert [entry.previous for entry in entries[1:]] == [entry.sha256 for entry in entries[:-1]]
    assert entries[0].previous == "0" * 64


def test_entries_can_be_read_from_the_middle(s3: FakeS3) -> None:
    ledger = fill(s3, 5)

    assert [entry.sequence for entry in ledger.entries(after=3)] == [4, 5]


def test_a_repeated_append_adds_nothing(s3: FakeS3) -> None:
    first = fill(s3, 3)

    again = first.append("run", {"number": 2}, entry_id="entry-2", since=START)

    assert again.sequence == 2
    assert len(list(first.entries())) == 3


def test_the_search_for_an_earlier_attempt_ends_where_it_cannot_be(s3: FakeS3) -> None:
    ledger = fill(s3, 3)

    later = ledger.append("run", {}, entry_id="entry-2", since=START + timedelta(hours=1))

    assert later.sequence == 4


def test_a_writer_that_comes_second_takes_the_next_number(s3: FakeS3) -> None:
    other, sleeps = make_ledger(s3), list[float]()

    def race(key: str) -> None:
        s3.before_put = str
        other.append("run", {}, entry_id="the-other", since=START)

    s3.before_put = race
    mine = make_ledger(s3, sleeps=sleeps).append("run", {}, entry_id="mine", since=START)

    assert mine.sequence == 2
    assert [entry.entry_id for entry in other.entries()] == ["the-other", "mine"]
    assert len(sleeps) == 1


def test_a_conflict_with_a_write_under_way_is_tried_again(s3: FakeS3) -> None:
    def conflict(key: str) -> None:
        s3.before_put = str
        raise client_error("ConditionalRequestConflict")

    s3.before_put = conflict

    assert make_ledger(s3).append("run", {}, entry_id="mine", since=START).sequence == 1


def test_endless_races_end_in_an_error(s3: FakeS3) -> None:
    def taken(key: str) -> None:
        raise client_error("PreconditionFailed")

    s3.before_put = taken

    with pytest.raises(LedgerError, match="60 attempts to append run mine met other writers") as error:
        make_ledger(s3).append("run", {}, entry_id="mine", since=START)

    assert error.value.exit_code == 10


def test_a_missing_entry_is_named(s3: FakeS3) -> None:
    fill(s3, 5)
    del s3.objects["ledger", entry_key(3)]

    with pytest.raises(LedgerError, match="entry 3 is missing"):
        list(make_ledger(s3).entries())


def test_a_rewritten_entry_breaks_the_chain_after_it(s3: FakeS3) -> None:
    fill(s3, 5)
    forged = FakeS3()
    fill(forged, 2)
    make_ledger(forged).append("run", {"number": 99}, entry_id="forged", since=START)
    s3.objects["ledger", entry_key(3)] = forged.objects["ledger", entry_key(3)]

    with pytest.raises(LedgerError, match="entry 4 does not follow from entry 3"):
        list(make_ledger(s3).entries())


def test_an_entry_in_other_bytes_was_changed(s3: FakeS3) -> None:
    fill(s3, 2)
    entry = json.loads(s3.text("ledger", entry_key(2)))
    s3.objects["ledger", entry_key(2)] = [json.dumps(entry, indent=1).encode()]

    with pytest.raises(LedgerError, match="entry 2 was changed"):
        list(make_ledger(s3).entries())


@pytest.mark.parametrize("name", ["notes.txt", "\u00b2", "1.json", "000000000001"])
def test_a_foreign_object_is_named(s3: FakeS3, name: str) -> None:
    s3.put_object(Bucket="ledger", Key=f"ledger/{name}", Body=b"")

    with pytest.raises(LedgerError, match=re.escape(f"ledger/{name} is not an entry")):
        list(make_ledger(s3).entries())


@pytest.mark.parametrize("stored", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 10_000])
def test_an_entry_that_no_parser_reads_is_named(stored: bytes) -> None:
    with pytest.raises(LedgerError, match="entry 3 was changed after it was written: it cannot be read"):
        parse_entry(stored, sequence=3)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_changed_byte_is_found_and_named(data: st.DataObject) -> None:
    s3 = FakeS3()
    fill(s3, 3)
    sequence = data.draw(st.integers(1, 3))
    content = s3.objects["ledger", entry_key(sequence)][0]
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))
    s3.objects["ledger", entry_key(sequence)] = [content[:at] + bytes([byte]) + content[at + 1 :]]

    with pytest.raises(LedgerError, match=f"entry {sequence} was changed"):
        list(make_ledger(s3).entries())


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda entry: entry | {"kind": "release"}, r"its hash is [0-9a-f]{64}, and it says [0-9a-f]{64}"),
        (lambda entry: entry | {"sequence": 3}, "it says that it is entry 3"),
        (lambda entry: {**entry, "more": 1}, "it cannot be read as one"),
        (lambda entry: dict(reversed(entry.items())), "it says the same in other bytes"),
    ],
)
def test_what_differs_is_said(
    s3: FakeS3, change: Callable[[dict[str, Any]], dict[str, Any]], difference: str
) -> None:
    fill(s3, 3)
    entry = json.loads(s3.text("ledger", entry_key(2)))
    s3.objects["ledger", entry_key(2)] = [json.dumps(change(entry), separators=(",", ":")).encode()]

    with pytest.raises(LedgerError, match=f"entry 2 was changed after it was written: {difference}"):
        verify_ledger(make_ledger(s3).entries())


def test_an_intact_ledger_tells_its_head(s3: FakeS3) -> None:
    ledger = fill(s3, 3)
    heads = [entry.sha256 for entry in ledger.entries()]

    for head in (None, GENESIS, *heads):
        last = verify_ledger(ledger.entries(), head=head)
        assert last
        assert last.sha256 == heads[-1]
    assert verify_ledger(make_ledger(FakeS3()).entries()) is None


def test_an_end_that_was_cut_off_is_found_by_the_head_of_before(s3: FakeS3) -> None:
    ledger = fill(s3, 3)
    head = list(ledger.entries())[-1].sha256
    del s3.objects["ledger", entry_key(3)]

    with pytest.raises(LedgerError, match=f"no entry has the hash {head}; it ends with entry 2"):
        verify_ledger(ledger.entries(), head=head)
    with pytest.raises(LedgerError, match="it is empty"):
        verify_ledger([], head=head)
