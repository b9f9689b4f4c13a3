"""A dataset against its contract: each kind of bad file is refused in words, with its place and bound."""

from __future__ import annotations

import csv
import hashlib
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset import MAX_CLASSES, MAX_PROBLEMS, Contract, Report, check_dataset, parse_contract

MODEL: dict[str, Any] = {
    "task": "classification",
    "target": "species",
    "min_rows": 3,
    "columns": [
        {"name": "length", "type": "number", "min": 0.1, "max": 30},
        {"name": "legs", "type": "integer", "allowed": [2, 4], "missing": True},
        {"name": "species", "type": "category", "allowed": ["cat", "hen"]},
    ],
}
HEADER = b"length,legs,species\n"
GOOD = HEADER + b"1.5,4,cat\n2,2,hen\n.5e1,,cat\n"


def check(content: bytes, *, model: dict[str, Any] = MODEL, chunk: int = 1 << 16) -> Report:
    pieces = [content[at : at + chunk] for at in range(0, len(content), chunk)]
    return check_dataset(pieces, contract=parse_contract(model))


def contract() -> Contract:
    return parse_contract(MODEL)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.rstrip(b"\n"),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"cat", b'"cat"').replace(b"1.5", b" 1.5 "),
        GOOD.replace(b"4,", b"4.0,") + b"\n\n",
        b"species,legs,length\ncat,4,1\nhen,2,1\ncat,,1\n",
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_a_good_dataset_is_accepted(content: bytes, chunk: int) -> None:
    report = check(content, chunk=chunk)

    assert report.accepted, report.reason
    assert (report.rows, report.size_bytes) == (3, len(content))
    assert report.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty: there is no header"),
        (b"\n\n", "the file is empty: there is no header"),
        (HEADER, "0 rows, at least 3 are needed"),
        (HEADER + b"1,4,cat\n", "1 rows, at least 3 are needed"),
        (b"length,legs\n1,2\n", "line 1: the target species is missing from the header"),
        (b"legs,species\n2,cat\n", "line 1: missing from the header: length"),
        (b"length,legs,species,x\n", "line 1: not in the contract: x"),
        (b"length,legs,species,legs\n", "line 1: more than once in the header: legs"),
        (HEADER + b"1,4\n", "line 2: 2 fields instead of 3"),
        (HEADER + b"1,4,cat,9\n", "line 2: 4 fields instead of 3"),
        (HEADER + b"\nlong,4,cat\n", "line 3, column length: 'long' is not a number"),
        (HEADER + b"nan,4,cat\n", "line 2, column length: 'nan' is not a number"),
        (HEADER + b"1e999,4,cat\n", "line 2, column length: '1e999' is not a number"),
        (HEADER + b"1_0,4,cat\n", "line 2, column length: '1_0' is not a number"),
        (HEADER + "\u0661,4,cat\n".encode(), "line 2, column length: '\u0661' is not a number"),
        (HEADER + b"1,4.5,cat\n", "line 2, column legs: '4.5' is not an integer"),
        (HEADER + b"1,3,cat\n", "line 2, column legs: 3 is not one of 2, 4"),
        (HEADER + b"0,4,cat\n", "line 2, column length: 0 is below the minimum 0.1"),
        (HEADER + b"31,4,cat\n", "line 2, column length: 31 is above the maximum 30"),
        (HEADER + b" ,4,cat\n", "line 2, column length: the value is missing"),
        (HEADER + b"1,4,\n", "line 2, column species: the value is missing"),
        (HEADER + b"1,4,dog\n", "line 2, column species: 'dog' is not one of cat, hen"),
        (HEADER + b"1,4,cat\n" * 3, "column species: no row has the class hen"),
        (GOOD + b'1,4,"ca', "line 5: a quote is opened and never closed: the file is cut off"),
        (GOOD + b'1,4,"cat"x\n', "line 5: not readable as CSV: ',' expected after '\"'"),
        (b"PK\x03\x04\x00\x00", "line 1: there is a zero byte: this is a binary file"),
        (GOOD.decode().encode("utf-16"), "line 1: there is a zero byte: this is a binary file"),
        (b"\x1f\x8b\x08", "line 1: byte 0x8b at position 2 is not UTF-8; save the file as UTF-8"),
        (
            GOOD + "1,4,é\n".encode("latin-1"),
            "line 5: byte 0xe9 at position 5 is not UTF-8; save the file as UTF-8",
        ),
        (GOOD + b"1,4," + b"x" * 200_000 + b"\n", "line 5: a field is longer than 131,072 characters"),
        (GOOD + b"1,4," + b"x" * 2_000_000, "line 5: the line is longer than 1,048,576 bytes"),
    ],
)
def test_a_bad_dataset_is_refused_with_the_place_and_the_reason(content: bytes, reason: str) -> None:
    report = check(content)

    assert not report.accepted
    assert report.reason.startswith(reason)
    assert report.sha256 == hashlib.sha256(content).hexdigest()


def test_a_field_is_too_long_whatever_else_reads_csv_in_the_process() -> None:
    before = csv.field_size_limit(10_000_000)
    try:
        report = check(GOOD + b"1,4," + b"x" * 200_000 + b"\n")
    finally:
        csv.field_size_limit(before)

    assert report.reason.startswith("line 5: a field is longer than 131,072 characters")


def test_a_problem_names_line_column_value_and_bound() -> None:
    (problem,) = check(GOOD + b"99,4,cat\n").problems

    assert (problem.line, problem.column, problem.value, problem.bound) == (5, "length", "99", "max 30")


def test_the_first_problems_are_kept_and_counted() -> None:
    report = check(GOOD + b"0,4,cat\n" * 50)

    assert len(report.problems) == MAX_PROBLEMS
    assert report.reason == f"line 5, column length: 0 is below the minimum 0.1 (and {MAX_PROBLEMS - 1} more)"
    assert report.size_bytes == len(GOOD) + 50 * 8


def test_an_integer_that_a_float_would_round_is_refused_but_in_the_target() -> None:
    model = {
        "task": "regression",
        "target": "price",
        "min_rows": 2,
        "columns": [{"name": "id", "type": "integer"}, {"name": "price", "type": "integer"}],
    }

    fits = check(b"id,price\n16777216,90000001\n-16777216,90000002\n", model=model)
    large = check(b"id,price\n16777217,1\n2,3\n", model=model)

    assert fits.accepted, fits.reason
    assert large.reason == "line 2, column id: 16777217 is beyond 16777216, up to where an integer is exact"


def test_a_long_value_is_shown_cut() -> None:
    (problem,) = check(GOOD + b"1,4," + b"y" * 1000 + b"\n").problems

    assert problem.value == "y" * 80 + "…"


def test_a_class_that_the_contract_leaves_open_needs_a_second_one() -> None:
    model = {**MODEL, "columns": [*MODEL["columns"][:2], {"name": "species", "type": "category"}]}

    assert check(HEADER + b"1,4,cat\n" * 3, model=model).reason == "column species: all rows are of one class"
    assert check(HEADER + b"1,4,cat\n" * 3 + b"1,4,dog\n", model=model).accepted


def test_each_class_needs_its_rows() -> None:
    model = {**MODEL, "min_rows_per_class": 2}

    report = check(HEADER + b"1,4,cat\n" * 3 + b"1,2,hen\n", model=model)

    assert report.reason == "column species: the class hen has 1 rows, at least 2 are needed"
    assert (report.problems[0].value, report.problems[0].bound) == ("1", "2")
    assert check(HEADER + b"1,4,cat\n1,2,hen\n" * 2, model=model).accepted


def test_a_share_of_the_values_may_be_missing_and_no_more() -> None:
    columns = [MODEL["columns"][0], {**MODEL["columns"][1], "max_missing_share": 0.25}, MODEL["columns"][2]]
    model = {**MODEL, "columns": columns}

    just = check(HEADER + b"1,4,cat\n1,2,hen\n1,2,hen\n1, ,hen\n", model=model)
    over = check(HEADER + b"1,4,cat\n1,,hen\n1,,hen\n", model=model)

    assert just.accepted, just.reason
    assert over.reason == "column legs: 2 of 3 values are missing, at most 0.25 of them may be"
    assert (over.problems[0].value, over.problems[0].bound) == ("0.6667", "0.25")


def test_a_target_of_ever_new_labels_is_refused_before_they_fill_the_memory() -> None:
    model = {**MODEL, "columns": [*MODEL["columns"][:2], {"name": "species", "type": "category"}]}
    rows = b"".join(b"1,4,c%d\n" % number for number in range(MAX_CLASSES + 1))

    report = check(HEADER + rows, model=model)

    assert (
        report.reason
        == "line 10002, column species: more than 10,000 classes: the target looks like an identifier"
    )
    assert report.sha256 == hashlib.sha256(HEADER + rows).hexdigest()


def test_a_regression_has_no_classes() -> None:
    model = {**MODEL, "task": "regression", "target": "length"}

    assert check(HEADER + b"1,4,cat\n" * 3, model=model).accepted


def test_memory_does_not_grow_with_the_file() -> None:
    block = b"1.5,4,cat\n2,2,hen\n" * 2_000

    def peak(blocks: int) -> int:
        def stream() -> Iterator[bytes]:
            yield HEADER
            yield from (block for _ in range(blocks))

        tracemalloc.start()
        assert check_dataset(stream(), contract=contract()).rows == blocks * 4_000
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(15) < 1.2 * peak(5)


def test_a_header_of_many_columns_is_refused_in_time() -> None:
    report = check(b"a," * 200_000 + b"a\n")

    assert report.reason == "line 1: the target species is missing from the header"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_end_in_a_report(content: bytes, chunk: int) -> None:
    report = check(HEADER + content, chunk=chunk)

    assert report.sha256 == hashlib.sha256(HEADER + content).hexdigest()
    assert report == check(HEADER + content)


numbers = st.floats(0.1, 30, allow_subnormal=False).map(repr)
rows = st.tuples(numbers, st.sampled_from(["2", "4", ""]), st.sampled_from(["cat", "hen"]))


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_any_rows_within_the_contract_are_accepted(table: list[tuple[str, str, str]]) -> None:
    table = [*table, ("1", "2", "cat"), ("1", "2", "hen"), ("1", "", "hen")]
    content = HEADER + "".join(",".join(row) + "\n" for row in table).encode()

    report = check(content)

    assert report.accepted, report.reason
    assert report.rows == len(table)
