"""A dataset held against its contract in model.json, read once as a stream, hashed on the way.

Flow: dataset upload, second step (validate). Memory does not grow with the file: one chunk, one
line, a sample and at most `MAX_PROBLEMS` findings are held. The sha256 covers every byte, also of a file that
was refused in its first line.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError
from pipeline.profile import Drift, Row, Sample, association, describe, measure_drift

MAX_PROBLEMS = 20
MAX_LINE_BYTES = 1 << 20
MAX_SHOWN_CHARACTERS = 80
MAX_CLASSES = 10_000
LARGEST_INTEGER = 2**24  # models compute with 32-bit floats; above it, whole numbers begin to share one
MAX_FIELD_CHARACTERS = 131_072  # more is a quote that is never closed
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# float() also takes "nan", "1_000" and other alphabets' digits; a dataset may hold none of them.
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+(?:\.0+)?")

# None for a good value, else the message and the bound.
ValueCheck = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True)
class Column:
    """What one column may hold; an empty field is a missing value, spaces around one do not count."""

    name: str
    type: str
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()
    missing_allowed: bool = False
    max_missing_share: float = 1.0
    exact: bool = False  # an integer that becomes a 32-bit float: a feature, not the target


@dataclass(frozen=True)
class Contract:
    """What a dataset of one model has to look like."""

    columns: tuple[Column, ...]
    target: str
    min_rows: int
    min_rows_per_class: int
    classification: bool
    max_holdout_share: float = 0.0
    max_leakage: float = 0.95
    max_drift: float = 0.25


@dataclass(frozen=True)
class Reference:
    """What else a dataset is held against: the frozen holdout's rows, and the champion's training data."""

    holdout: frozenset[Row] = frozenset()
    profile: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Problem:
    """One reason to refuse the dataset, with the place, what stands there and what may stand there."""

    message: str
    line: int | None = None
    column: str | None = None
    value: str | None = None
    bound: str | None = None

    def __str__(self) -> str:
        place = [f"line {self.line}" if self.line else "", f"column {self.column}" if self.column else ""]
        return ": ".join(part for part in (", ".join(filter(None, place)), self.message) if part)


@dataclass(frozen=True)
class Report:
    """The outcome of a check; `rows` counts the rows read before the check stopped."""

    rows: int
    size_bytes: int
    sha256: str
    problems: tuple[Problem, ...]
    profile: Mapping[str, Any] = field(default_factory=dict)
    drift: tuple[Drift, ...] = ()

    @property
    def accepted(self) -> bool:
        """True when nothing speaks against the dataset."""
        return not self.problems

    @property
    def reason(self) -> str:
        """The first problem, and how many more there are; empty when there is none."""
        if not self.problems:
            return ""
        more = len(self.problems) - 1
        return str(self.problems[0]) + (f" (and {more} more)" if more else "")


class _UnreadableError(Exception):
    """The rest of the file cannot be read as CSV."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass
class _Hashed:
    """Chunks, passed on as they are, with the hash and size of all that went by."""

    chunks: Iterable[bytes]
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk


def parse_contract(model: Mapping[str, Any]) -> Contract:
    """The contract inside a model.json that the model's schema has accepted."""
    return Contract(
        columns=tuple(_parse_column(column, target=model["target"]) for column in model["columns"]),
        target=model["target"],
        min_rows=int(model.get("min_rows", 1)),
        min_rows_per_class=int(model.get("min_rows_per_class", 1)),
        classification=model["task"] == "classification",
        **{name: float(value) for name, value in model.get("checks", {}).items()},
    )


def read_holdout(chunks: Iterable[bytes], *, contract: Contract) -> frozenset[Row]:
    """The rows of the frozen holdout, in the form in which a dataset's are looked up.

    Raises: UsageError for a holdout that is no CSV of this contract.
    """
    try:
        records = _records(_lines(iter(chunks)))
        _, header = next(records, (0, []))
        _check_header(header, line=1, contract=contract)
        key = _row_key(contract, header)
        return frozenset(key(record) for _, record in records)
    except (_UnreadableError, ValueError, IndexError) as error:
        raise UsageError(f"The holdout of the model is not one of its contract: {error}") from None


def check_dataset(
    chunks: Iterable[bytes], *, contract: Contract, reference: Reference | None = None
) -> Report:
    """The report on a CSV file that arrives in chunks of any size."""
    stream = iter(hashed := _Hashed(chunks))
    check = _Check(contract, reference or Reference())
    try:
        check.run(_lines(stream))
    except _UnreadableError as error:
        check.problems.append(error.problem)
    for _ in stream:
        pass  # What is left is not checked any more, but it belongs to the hash.
    return Report(
        rows=check.rows,
        size_bytes=hashed.size_bytes,
        sha256=hashed.digest.hexdigest(),
        problems=tuple(check.problems[:MAX_PROBLEMS]),
        profile=check.profile,
        drift=tuple(check.drift),
    )


def _parse_column(column: Mapping[str, Any], *, target: str) -> Column:
    return Column(
        name=column["name"],
        type=column["type"],
        minimum=column.get("min"),
        maximum=column.get("max"),
        allowed=tuple(str(value) for value in column.get("allowed") or ()),
        missing_allowed=bool(column.get("missing", False)),
        max_missing_share=float(column.get("max_missing_share", 1)),
        exact=column["type"] == "integer" and column["name"] != target,
    )


class _Check:
    """What a check has seen so far, also when the file turns out to be unreadable half-way."""

    def __init__(self, contract: Contract, reference: Reference) -> None:
        self.rows = 0
        self.problems: list[Problem] = []
        self.profile: Mapping[str, Any] = {}
        self.drift: list[Drift] = []
        self._contract = contract
        self._reference = reference
        self._sample = Sample()
        self._in_holdout = 0
        self._first_in_holdout: int | None = None
        self._target = _column(contract, contract.target)
        self._classes: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()

    def run(self, lines: Iterator[str]) -> None:
        """Check every record, or as many as it takes to find `MAX_PROBLEMS`."""
        records = _records(lines)
        line, header = next(records, (0, []))
        if not header:
            raise _UnreadableError(Problem(message="the file is empty: there is no header"))
        _check_header(header, line=line, contract=self._contract)
        checks = [_value_check(_column(self._contract, name)) for name in header]
        target_at = header.index(self._contract.target)
        rationed = [
            (at, name)
            for at, name in enumerate(header)
            if _column(self._contract, name).max_missing_share < 1
        ]
        key = _row_key(self._contract, header)
        for line, record in records:
            self.rows += 1
            found = _check_record(record, line=line, header=header, checks=checks)
            self.problems.extend(found)
            if len(self.problems) >= MAX_PROBLEMS:
                return
            if found:
                continue
            self._missing.update(name for at, name in rationed if not record[at].strip())
            if self._contract.classification:
                self._count_class(record[target_at], line=line)
            row = key(record)
            if row in self._reference.holdout:
                self._in_holdout += 1
                self._first_in_holdout = self._first_in_holdout or line
            self._sample.add(row)
        if not self.problems:
            self.problems.extend(self._check_whole())
        if not self.problems:
            self.problems.extend(self._check_sample())

    def _count_class(self, value: str, *, line: int) -> None:
        label = _class_of(value, self._target)
        # Where any label is allowed, a long one is counted by its beginning, so that memory stays bounded.
        self._classes[label if self._target.allowed else _shown(label)] += 1
        if len(self._classes) > MAX_CLASSES:
            message = f"more than {MAX_CLASSES:,} classes: the target looks like an identifier"
            raise _UnreadableError(
                Problem(message=message, line=line, column=self._target.name, bound=str(MAX_CLASSES))
            )

    def _check_whole(self) -> Iterator[Problem]:
        """What only the whole file shows: enough rows, of every class, with enough values."""
        contract = self._contract
        if self.rows < contract.min_rows:
            message = f"{self.rows} rows, at least {contract.min_rows} are needed"
            yield Problem(message=message, value=str(self.rows), bound=str(contract.min_rows))
        elif contract.classification:
            yield from self._check_classes()
        for name, missing in self._missing.items():
            share, most = missing / self.rows, _column(contract, name).max_missing_share
            if share > most:
                message = f"{missing} of {self.rows} values are missing, at most {most:.4g} of them may be"
                yield Problem(message=message, column=name, value=f"{share:.4g}", bound=f"{most:.4g}")

    def _check_sample(self) -> Iterator[Problem]:
        """What only shows beside something else: the holdout, the target, the champion's training data."""
        contract, rows = self._contract, self._sample.rows
        names = [column.name for column in contract.columns]
        share, most = self._in_holdout / self.rows, contract.max_holdout_share
        if share > most:
            message = f"{self._in_holdout} of {self.rows} rows are in the frozen holdout; this is the first"
            yield Problem(message, self._first_in_holdout, value=f"{share:.4g}", bound=f"{most:.4g}")
        yield from self._check_leakage(names)
        numeric = {column.name: column.type != "category" for column in contract.columns}
        self.profile = describe(rows, names=names, numeric=numeric)
        if self._reference.profile:
            self.drift += measure_drift(
                self._reference.profile, rows, names=names, max_psi=contract.max_drift
            )
        for drift in self.drift:
            if drift.exceeded:
                told, bound = f"{drift.psi:.3f}", f"{drift.limit:.3f}"
                message = f"the values have drifted from the champion's training data: PSI {told}"
                yield Problem(message, column=drift.column, value=told, bound=bound)

    def _check_leakage(self, names: list[str]) -> Iterator[Problem]:
        contract, rows = self._contract, self._sample.rows
        target = [row[names.index(contract.target)] for row in rows]
        for index, column in enumerate(contract.columns):
            if column.name == contract.target:
                continue
            cells = [row[index] for row in rows]
            told = association(
                cells, target, numeric=column.type != "category", classes=contract.classification
            )
            if told > contract.max_leakage:
                message = f"the column tells the target {contract.target}: association {told:.3f}"
                bound = f"{contract.max_leakage:g}"
                yield Problem(message, column=column.name, value=f"{told:.3f}", bound=bound)

    def _check_classes(self) -> Iterator[Problem]:
        column, fewest = self._target, self._contract.min_rows_per_class
        absent = sorted(set(column.allowed) - set(self._classes))
        if absent:
            message = f"no row has the class {', '.join(absent)}"
            yield Problem(message=message, column=column.name, bound=", ".join(column.allowed))
        elif len(self._classes) < 2:
            yield Problem(message="all rows are of one class", column=column.name, bound="2 classes")
        for label, rows in sorted(self._classes.items()):
            if rows < fewest:
                message = f"the class {_shown(label)} has {rows} rows, at least {fewest} are needed"
                yield Problem(message=message, column=column.name, value=str(rows), bound=str(fewest))


def _row_key(contract: Contract, header: list[str]) -> Callable[[list[str]], Row]:
    """What makes two rows the same: all their values, numbers as numbers, in the contract's order."""
    order = [header.index(column.name) for column in contract.columns]
    numeric = [column.type != "category" for column in contract.columns]

    def key(record: list[str]) -> Row:
        cells = [record[at].strip() for at in order]
        return tuple(
            float(cell) if is_number and cell else cell
            for cell, is_number in zip(cells, numeric, strict=True)
        )

    return key


def _check_header(header: list[str], *, line: int, contract: Contract) -> None:
    """Without the right header no row can be judged, so a wrong one ends the check."""
    expected = [column.name for column in contract.columns]
    bound = ", ".join(expected)
    times = Counter(header)
    repeated = [name for name in expected if times[name] > 1]
    missing = [name for name in expected if name not in times]
    unknown = sorted(times.keys() - set(expected))
    if contract.target in missing:
        message = f"the target {contract.target} is missing from the header"
    elif missing:
        message = f"missing from the header: {', '.join(missing)}"
    elif unknown:
        message = f"not in the contract: {_shown(', '.join(unknown))}"
    elif repeated:
        message = f"more than once in the header: {', '.join(repeated)}"
    else:
        return
    raise _UnreadableError(Problem(message=message, line=line, value=_shown(",".join(header)), bound=bound))


def _check_record(
    record: list[str], *, line: int, header: list[str], checks: list[ValueCheck]
) -> list[Problem]:
    if len(record) != len(header):
        message = f"{len(record)} fields instead of {len(header)}"
        return [Problem(message=message, line=line, value=_shown(",".join(record)), bound=str(len(header)))]
    problems = []
    for name, value, check in zip(header, record, checks, strict=True):
        wrong = check(value)
        if wrong:
            message, bound = wrong
            problems.append(
                Problem(message=message, line=line, column=name, value=_shown(value), bound=bound)
            )
    return problems


def _value_check(column: Column) -> ValueCheck:
    """The check of one column's values."""
    present = _category_check(column) if column.type == "category" else _number_check(column)

    def check(value: str) -> tuple[str, str] | None:
        value = value.strip()
        if value:
            return present(value)
        return None if column.missing_allowed else ("the value is missing", "no missing values")

    return check


def _category_check(column: Column) -> ValueCheck:
    allowed = frozenset(column.allowed)
    bound = ", ".join(column.allowed)

    def check(value: str) -> tuple[str, str] | None:
        if not allowed or value in allowed:
            return None
        return f"{_shown(value)!r} is not one of {bound}", bound

    return check


def _number_check(column: Column) -> ValueCheck:
    pattern, noun = (INTEGER, "an integer") if column.type == "integer" else (NUMBER, "a number")
    minimum = -math.inf if column.minimum is None else column.minimum
    maximum = math.inf if column.maximum is None else column.maximum
    allowed = frozenset(float(value) for value in column.allowed)

    def check(value: str) -> tuple[str, str] | None:
        number = float(value) if pattern.fullmatch(value) else math.nan
        if not math.isfinite(number):
            return f"{_shown(value)!r} is not {noun}", noun
        if column.exact and abs(number) > LARGEST_INTEGER:
            message = f"{_shown(value)} is beyond {LARGEST_INTEGER}, up to where an integer is exact"
            return message, str(LARGEST_INTEGER)
        if number < minimum:
            return f"{_shown(value)} is below the minimum {minimum:g}", f"min {minimum:g}"
        if number > maximum:
            return f"{_shown(value)} is above the maximum {maximum:g}", f"max {maximum:g}"
        if allowed and number not in allowed:
            return f"{_shown(value)} is not one of {', '.join(column.allowed)}", ", ".join(column.allowed)
        return None

    return check


def _records(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line it begins in."""
    reader = csv.reader(lines, strict=True)
    # The process's own: whoever else reads CSV in it may have set another.
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _UnreadableError(_csv_problem(error, line=line)) from None
        if record:
            yield line, record


def _csv_problem(error: csv.Error, *, line: int) -> Problem:
    text = str(error)
    if "unexpected end of data" in text:
        return Problem(message="a quote is opened and never closed: the file is cut off", line=line)
    if "field limit" in text:
        message = f"a field is longer than {MAX_FIELD_CHARACTERS:,} characters, or a quote is never closed"
        return Problem(message=message, line=line, bound=str(MAX_FIELD_CHARACTERS))
    return Problem(message=f"not readable as CSV: {text}", line=line)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """The lines, ends kept, decoded one by one so that a bad byte is named with its line."""
    for number, raw in enumerate(_raw_lines(chunks), start=1):
        if number == 1:
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        if b"\0" in raw:
            raise _UnreadableError(
                Problem(message="there is a zero byte: this is a binary file", line=number)
            )
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = f"0x{raw[error.start]:02x}"
            message = f"byte {byte} at position {error.start + 1} is not UTF-8; save the file as UTF-8"
            raise _UnreadableError(Problem(message=message, line=number, value=byte, bound="UTF-8")) from None


def _raw_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    pending = b""
    number = 1
    for chunk in chunks:
        lines = (pending + chunk).splitlines(keepends=True)
        # The last line may go on in the next chunk, also after "\r", which may be half of "\r\n".
        pending = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        yield from lines
        number += len(lines)
        if len(pending) > MAX_LINE_BYTES:
            message = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
            raise _UnreadableError(Problem(message=message, line=number, bound=str(MAX_LINE_BYTES)))
    if pending:
        yield pending


def _class_of(value: str, target: Column) -> str:
    """The class as the contract writes it: 5.0 in an integer column is class 5."""
    value = value.strip()
    return str(int(float(value))) if target.type == "integer" else value


def _column(contract: Contract, name: str) -> Column:
    return next(column for column in contract.columns if column.name == name)


def _shown(value: str) -> str:
    """The value, short enough for a message."""
    return value if len(value) <= MAX_SHOWN_CHARACTERS else value[:MAX_SHOWN_CHARACTERS] + "…"
