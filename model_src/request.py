"""What a client asks: the body of an invocation, as the encoded matrix.

A CSV body has a row per instance in the features' order, or a header that names them. A JSON body is a list
of instances, bare or under `instances` or `inputs`, or MLflow's `dataframe_split` and `dataframe_records`;
JSON lines have an instance a line. An instance is a list in the features' order, an object by name, or
{"features": [...]}.

Instances are read by the fast ways first, which answer only for what is right beyond doubt, then, if that
did not, by the exact way, which says what is wrong with which instance and column. A large body is read part
by part: as Python's objects it would take twenty times its size.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any, Final

import numpy as np
import orjson

from model_src.encoding import (
    LARGEST_INTEGER,
    LARGEST_NUMBER,
    UNKNOWN,
    CellError,
    Feature,
    Matrix,
    Numbers,
    encode_text,
    encode_values,
    to_matrix,
)
from model_src.errors import RequestError
from model_src.media import CSV, JSON_LINES

LISTS: Final = ("instances", "inputs", "dataframe_records")
_FEW_CSV_BYTES = 256  # up to here Python is faster than numpy's reader, which takes 8 µs to begin
# What stands before the first instance, where the instances are the last thing in the body.
_OPENING = re.compile(
    rb'\s*(?:\{\s*"(?:%s)"\s*:\s*|\{\s*"dataframe_split"\s*:\s*\{\s*"columns"\s*:\s*\[[^]]*\]\s*,\s*"data"\s*:\s*)?\['
    % "|".join(LISTS).encode()
)
_BETWEEN = re.compile(rb"(?<=[\]}])\s*,(?=\s*[\[{])")

_Encode = Callable[[Feature, Sequence[Any]], Numbers]
_Row = Sequence[Any]
_Rows = Sequence[_Row]


class RequestParser:
    """Reads the bodies of one model's requests; what it needs to know of the features is worked out once."""

    part_rows = 10_000
    part_bytes = 256 * 1024

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        self._names = [feature.name for feature in features]
        self._known = frozenset(self._names)
        self._codes = {i: _Codes(feature) for i, feature in enumerate(features) if feature.type == "category"}
        self._integers = [i for i, feature in enumerate(features) if feature.type == "integer"]
        self._allowed = {
            i: frozenset(feature.allowed) for i, feature in enumerate(features) if feature.allowed
        }
        self._missing = np.array([feature.missing for feature in features])
        self._wrapped = "features" not in self._known

    def parse(self, content_type: str, body: bytes) -> Matrix:
        """The body's instances: shape (n_rows, n_features).

        Raises: RequestError 400 that says which row and column is wrong.
        """
        if content_type == CSV:
            return self._parse_csv(body)
        return self._parse_lines(body) if content_type == JSON_LINES else self._parse_json(body)

    # CSV

    def _parse_csv(self, body: bytes) -> Matrix:
        plain = body.isascii() and b"_" not in body  # Python's float takes 1_0 and digits of all scripts
        if plain and not self._codes:
            matrix = self._read_few(body) if len(body) <= _FEW_CSV_BYTES else self._read_numbers(body)
            if matrix is not None:
                return matrix
        fast = self._encode_csv if plain else None
        parts, rows, start = [], self._csv_rows(body), 0
        while part := list(islice(rows, self.part_rows)):
            parts.append(self._encode(part, start, fast, _encode_stripped))
            start += len(part)
        return _join(parts)

    def _read_few(self, body: bytes) -> Matrix | None:
        """The matrix of a few lines with nothing but numbers, one for each cell."""
        rows = [line.split(b",") for line in body.splitlines()]
        if set(map(len, rows)) != {len(self._features)} or b"n" in body.lower():  # nan, inf
            return None
        try:
            return self._encode_numbers([list(map(float, row)) for row in rows])
        except ValueError:
            return None

    def _read_numbers(self, body: bytes) -> Matrix | None:
        """The matrix of a body with nothing but numbers, one for each cell, below a header or none."""
        first, _, rest = body.partition(b"\n")
        header = [name.strip() for name in first.decode("utf-8-sig", errors="replace").split(",")]
        order = self._order(header)
        lines = rest if order else body
        stream = io.BytesIO(lines)
        if stream.readline().count(b",") + 1 != len(self._features) or not lines.strip():
            return None
        stream.seek(0)
        try:
            numbers = np.loadtxt(stream, delimiter=",", comments=None, ndmin=2)
        except ValueError:
            return None
        if numbers.shape[1] != len(self._features) or np.isnan(numbers).any():  # it reads "nan", too
            return None
        return self._checked(numbers[:, order] if order else numbers)

    def _csv_rows(self, body: bytes) -> Iterator[list[str]]:
        """The cells of each line that is not blank, in the features' order."""
        try:
            body.decode()  # as a whole, to say where it is wrong
        except UnicodeDecodeError as error:
            raise RequestError(
                400, f"The body is not UTF-8 text: {error.reason} at byte {error.start}."
            ) from error
        # Decoded again piece by piece: StringIO would hold the text with four bytes for each character.
        text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
        try:
            lines = (line for line in csv.reader(text, strict=True) if line)
            rows = (row for row in lines if len(row) > 1 or not row[0].isspace())
            first = next(rows, None)
            if first is None:
                raise _empty()
            order = self._order([name.strip() for name in first])
            for index, row in enumerate(rows if order else chain([first], rows)):
                self._check_width(row, index)
                yield [row[i] for i in order] if order else row
        except csv.Error as error:
            raise RequestError(400, f"The body is not CSV: {error}.") from error

    def _order(self, header: list[str]) -> list[int] | None:
        """Where each feature stands in a header; None if this line is no header."""
        if len(header) != len(self._names) or set(header) != self._known:
            return None
        return [header.index(name) for name in self._names]

    def _encode_csv(self, rows: _Rows) -> Matrix | None:
        columns: list[Any] = list(zip(*rows, strict=True))
        try:
            for i, column in enumerate(columns):
                codes = self._codes.get(i)
                if codes is not None:
                    columns[i] = [codes[cell.strip()] for cell in column]
                elif self._features[i].missing:
                    columns[i] = [float(cell) if cell else np.nan for cell in column]
                else:
                    columns[i] = list(map(float, column))
        except (KeyError, ValueError):
            return None
        numbers = np.array(columns, dtype=np.float64).T
        # float() reads "nan", which is no missing value: only an empty cell is
        missing = np.count_nonzero(np.isnan(numbers))
        if missing and missing > sum(row.count("") for row in rows):
            return None
        return self._checked(numbers)

    # JSON

    def _parse_json(self, body: bytes) -> Matrix:
        if len(body) > self.part_bytes:
            with suppress(_CutError):
                return self._parse_texts(_cut_json(body, self.part_bytes), cut=True)
        return self._parse_texts([body])

    def _parse_texts(self, texts: Iterable[bytes], *, cut: bool = False) -> Matrix:
        parts, start = [], 0
        for text in texts:
            rows, keys = self._json_rows(text, start, cut=cut)
            for first in range(0, len(rows), self.part_rows):
                part = rows[first : first + self.part_rows]
                parts.append(self._encode(part, start + first, self._encode_json, encode_values))
            _refuse_duplicates([text], keys)
            start += len(rows)
        return _join(parts)

    def _json_rows(self, text: bytes, start: int, *, cut: bool) -> tuple[_Rows, int]:
        """Each instance's values in the features' order, and how many keys the objects of the text had.

        Raises: _CutError if the text may have been `cut` elsewhere than between two instances.
        """
        value, order, keys = _load_json(text), None, 0
        if isinstance(value, dict):
            if len(value) != 1 or (name := next(iter(value))) not in (*LISTS, "dataframe_split"):
                known = ", ".join((*LISTS, "dataframe_split"))
                raise RequestError(400, f"The body is an object, but not one with one of {known} alone.")
            value, keys = value[name], 1
            if name == "dataframe_split":
                if cut and isinstance(value, dict) and "index" in value:
                    raise _CutError(400, "A list of dataframe_split other than its data may have been cut.")
                value, order, keys = *self._split_rows(value), 1 + len(value)
        if not isinstance(value, list):
            raise RequestError(400, "The instances are not a list.")
        rows, more = self._instances(value, start)
        return rows if order is None else [[row[i] for i in order] for row in rows], keys + more

    def _split_rows(self, value: Any) -> tuple[Any, list[int]]:
        """The rows of MLflow's dataframe_split, and where each feature stands in them."""
        if not isinstance(value, dict) or not {"columns", "data"} <= value.keys() <= {
            "columns",
            "data",
            "index",
        }:
            raise RequestError(400, 'dataframe_split is not an object with "columns" and "data".')
        columns, data = value["columns"], value["data"]
        names = (
            columns if isinstance(columns, list) and all(isinstance(name, str) for name in columns) else []
        )
        order = self._order(names)
        if order is None:
            raise RequestError(400, f"The columns of dataframe_split are not {', '.join(self._names)}.")
        for index, row in enumerate(data if isinstance(data, list) else []):
            if not isinstance(row, list):
                raise RequestError(400, f"Instance {index} is not a list of values.")
            self._check_width(row, index)
        return data, order

    def _parse_lines(self, body: bytes) -> Matrix:
        lines = ((number, line) for number, line in enumerate(io.BytesIO(body), start=1) if line.strip())
        parts, start = [], 0
        while part := list(islice(lines, self.part_rows)):
            values = [_load_json(line, f"Line {number}") for number, line in part]
            rows, keys = self._instances(values, start)
            parts.append(self._encode(rows, start, self._encode_json, encode_values))
            _refuse_duplicates([line for _, line in part], keys)
            start += len(part)
        if not parts:
            raise _empty()
        return _join(parts)

    def _instances(self, values: list[Any], start: int) -> tuple[_Rows, int]:
        """Each instance's values in the features' order, and how many keys its objects had."""
        rows: _Rows = values
        keys = 0
        if not values:
            raise RequestError(400, "There are no instances.")
        if set(map(type, values)) != {list}:
            keys = sum(len(value) for value in values if isinstance(value, dict))
            rows = [self._instance(value, index) for index, value in enumerate(values, start)]
        if set(map(len, rows)) != {len(self._features)}:
            for index, row in enumerate(rows, start):
                self._check_width(row, index)
        return rows, keys

    def _instance(self, value: Any, index: int) -> Sequence[Any]:
        if isinstance(value, list):
            return value
        if not isinstance(value, dict):
            raise RequestError(400, f"Instance {index} is neither a list of values nor an object by column.")
        if self._wrapped and value.keys() == {"features"} and isinstance(value["features"], list):
            return value["features"]
        for name in value:
            if name not in self._known:
                raise RequestError(400, f"Instance {index} has an unknown column '{name[:100]}'.")
        return list(map(value.get, self._names))

    def _encode_json(self, rows: _Rows) -> Matrix | None:
        if not self._codes:
            return self._encode_numbers(rows)
        columns: list[Any] = list(zip(*rows, strict=True))
        try:
            for i, codes in self._codes.items():
                columns[i] = [codes[value] for value in columns[i]]
        except (KeyError, TypeError):
            return None
        return self._encode_numbers(columns, transposed=True)

    # both

    def _encode(
        self, rows: _Rows, start: int, fast: Callable[[_Rows], Matrix | None] | None, exact: _Encode
    ) -> Matrix:
        """The matrix of rows of the right width; `start` is how many were before them."""
        matrix = fast(rows) if fast else None
        if matrix is not None:
            return matrix
        columns = zip(self._features, zip(*rows, strict=True), strict=True)
        return to_matrix(_encode_column(feature, cells, exact, start) for feature, cells in columns)

    def _encode_numbers(self, rows: _Rows, *, transposed: bool = False) -> Matrix | None:
        cells = list(chain.from_iterable(rows))
        if not _NUMBERS.issuperset(map(type, cells)):
            return None
        try:
            numbers = np.array(cells, dtype=np.float64).reshape(len(rows), -1)
        except OverflowError:
            return None
        return self._checked(numbers.T if transposed else numbers)

    def _checked(self, numbers: Numbers) -> Matrix | None:
        """The numbers as the model takes them, or None if any of them is not what its column holds."""
        right = np.abs(numbers) <= LARGEST_NUMBER
        if not right.all() and not (right | (np.isnan(numbers) & self._missing)).all():
            return None
        if self._integers:
            whole = numbers[:, self._integers]
            exact = (whole == np.floor(whole)) & (np.abs(whole) <= LARGEST_INTEGER)
            if not (exact | np.isnan(whole)).all():
                return None
        for i, allowed in self._allowed.items():
            column = numbers[:, i]
            if not allowed.issuperset(column[~np.isnan(column)].tolist()):
                return None
        return np.ascontiguousarray(numbers, dtype=np.float32)

    def _check_width(self, row: Sequence[Any], index: int) -> None:
        if len(row) != len(self._features):
            raise RequestError(
                400, f"Instance {index} has {len(row)} values; the model has {len(self._features)} features."
            )


_NUMBERS = frozenset({int, float, type(None)})


class _Codes(dict[Any, float]):
    """A category's codes by value; a look-up raises KeyError for what only the exact way can judge."""

    def __init__(self, feature: Feature) -> None:
        super().__init__({category: float(code) for code, category in enumerate(feature.categories)})
        self._closed = feature.closed
        if feature.missing:
            self.update({"": float("nan"), None: float("nan")})

    def __missing__(self, value: object) -> float:
        if self._closed or not isinstance(value, str) or not value:
            raise KeyError(value)
        return UNKNOWN


class _CutError(RequestError):
    """The text is no JSON, or one that a cut in the wrong place could have made."""


def _join(parts: Sequence[Matrix]) -> Matrix:
    if not parts:
        raise RequestError(400, "There are no instances.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _cut_json(body: bytes, part_bytes: int) -> Iterator[bytes]:
    """Bodies with some of the instances each; the body itself where none can be told from its beginning.

    The cuts are between what ends and begins like two instances. One that is elsewhere shows in the text
    before it, closed as it is by the brackets that were open before the first instance: in a string or in an
    instance it is no JSON; inside of another list than that of the instances it has that list's key, which is
    unknown, there twice, or the `index` of a dataframe_split. If no text has any of these, then together they
    are the body.
    """
    match = _OPENING.match(body)
    opening = match[0] if match else body
    closing, start = b"]" + b"}" * opening.count(b"{"), len(opening)
    while comma := _BETWEEN.search(body, start + part_bytes):
        yield opening + body[start : comma.start()] + closing
        start = comma.end()
    yield opening + body[start:]


def _empty() -> RequestError:
    return RequestError(400, "The body is empty; send at least one instance.")


def _load_json(text: bytes, what: str = "The body") -> Any:
    if not text.strip():
        raise _empty()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _CutError(400, f"{what} is not JSON: {error}.") from error


def _refuse_duplicates(texts: Sequence[bytes], keys: int) -> None:
    """Refuses an object that has a key twice, of which orjson keeps the last without a word.

    Each key has a colon after it, so as many colons as parsed keys mean that none was dropped. More of them
    may also stand in strings; then the standard library's slower parser tells.
    """
    if sum(text.count(b":") for text in texts) == keys:
        return
    try:
        for text in texts:
            json.loads(text, object_pairs_hook=_refuse_duplicate, parse_int=float)
    except RecursionError:
        raise RequestError(400, "The body is nested too deeply.") from None


def _refuse_duplicate(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise RequestError(400, f"An object has the key '{name[:100]}' twice.")
        seen.add(name)


def _encode_stripped(feature: Feature, cells: Sequence[str]) -> Numbers:
    return encode_text(feature, [cell.strip() for cell in cells])


def _encode_column(feature: Feature, cells: Sequence[Any], encode: _Encode, start: int) -> Numbers:
    try:
        return encode(feature, cells)
    except CellError as error:
        raise RequestError(400, f"Instance {start + error.row}, column '{feature.name}': {error}.") from error
