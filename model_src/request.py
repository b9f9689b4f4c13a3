"""What a client asks: the body of an invocation, as the encoded matrix.

A CSV body has a row per instance in the features' order, or a header that names them. A JSON body is a list
of instances, bare or under `instances` or `inputs`, or MLflow's `dataframe_split` and `dataframe_records`;
JSON lines have an instance a line. An instance is a list in the features' order, an object by name, or
{"features": [...]}.

Every body is read twice at most: first by the fast way, which answers only for bodies that are right beyond
doubt, then, if that did not, by the exact way, which says what is wrong with which instance and column.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from model_src.encoding import (
    LARGEST_INTEGER,
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
_LONG_CSV_BYTES = 16 * 1024  # from here on numpy's own reader is faster than csv's, which starts sooner

_Encode = Callable[[Feature, Sequence[Any]], Numbers]
_Rows = Sequence[Sequence[Any]]


class RequestParser:
    """Reads the bodies of one model's requests; what it needs to know of the features is worked out once."""

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
        rows = self._line_rows(body) if content_type == JSON_LINES else self._json_rows(body)
        matrix = self._encode_json(rows)
        return self._encode_exactly(rows, encode_values) if matrix is None else matrix

    # CSV

    def _parse_csv(self, body: bytes) -> Matrix:
        if len(body) > _LONG_CSV_BYTES and not self._codes:
            matrix = self._read_numbers(body)
            if matrix is not None:
                return matrix
        rows = self._csv_rows(body)
        matrix = self._encode_csv(rows) if body.isascii() and b"_" not in body else None
        if matrix is not None:
            return matrix
        return self._encode_exactly([[cell.strip() for cell in row] for row in rows], encode_text)

    def _read_numbers(self, body: bytes) -> Matrix | None:
        """The matrix of a body with nothing but numbers, one for each cell, below a header or none."""
        first, _, rest = body.partition(b"\n")
        header = [name.strip() for name in first.decode("utf-8-sig", errors="replace").split(",")]
        order = self._order(header)
        lines = rest if order else body
        if not lines.strip() or not lines.isascii():  # it takes other blanks for blanks, in any encoding
            return None
        try:
            numbers = np.loadtxt(io.BytesIO(lines), delimiter=",", comments=None, ndmin=2)
        except ValueError:
            return None
        if numbers.shape[1] != len(self._features) or np.isnan(numbers).any():  # it reads "nan", too
            return None
        return self._checked(numbers[:, order] if order else numbers)

    def _csv_rows(self, body: bytes) -> list[list[str]]:
        """The cells of each line that is not blank, in the features' order."""
        try:
            text = body.decode("utf-8-sig")
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        except UnicodeDecodeError as error:
            raise RequestError(
                400, f"The body is not UTF-8 text: {error.reason} at byte {error.start}."
            ) from error
        except csv.Error as error:
            raise RequestError(400, f"The body is not CSV: {error}.") from error
        rows = [row for row in rows if len(row) > 1 or not row[0].isspace()]
        if not rows:
            raise _empty()
        if order := self._order([name.strip() for name in rows[0]]):
            return [[row[i] for i in order] if len(row) == len(order) else row for row in rows[1:]]
        return rows

    def _order(self, header: list[str]) -> list[int] | None:
        """Where each feature stands in a header; None if this line is no header."""
        if len(header) != len(self._names) or set(header) != self._known:
            return None
        return [header.index(name) for name in self._names]

    def _encode_csv(self, rows: _Rows) -> Matrix | None:
        try:
            columns: list[Any] = list(zip(*rows, strict=True))
            if len(columns) != len(self._features):
                return None
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

    def _json_rows(self, body: bytes) -> _Rows:
        value, order, keys = _load_json(body), None, 0
        if isinstance(value, dict):
            if len(value) != 1 or (name := next(iter(value))) not in (*LISTS, "dataframe_split"):
                known = ", ".join((*LISTS, "dataframe_split"))
                raise RequestError(400, f"The body is an object, but not one with one of {known} alone.")
            value, keys = value[name], 1
            if name == "dataframe_split":
                value, order, keys = *self._split_rows(value), 1 + len(value)
        if not isinstance(value, list):
            raise RequestError(400, "The instances are not a list.")
        rows, more = self._instances(value)
        _refuse_duplicates([body], keys + more)
        return rows if order is None else [[row[i] for i in order] for row in rows]

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

    def _line_rows(self, body: bytes) -> _Rows:
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip()]
        if not lines:
            raise _empty()
        rows, keys = self._instances([_load_json(line, f"Line {number}") for number, line in lines])
        _refuse_duplicates([line for _, line in lines], keys)
        return rows

    def _instances(self, values: list[Any]) -> tuple[_Rows, int]:
        """Each instance's values in the features' order, and how many keys its objects had."""
        if not values:
            raise RequestError(400, "There are no instances.")
        if set(map(type, values)) == {list}:
            return values, 0
        keys = sum(len(value) for value in values if isinstance(value, dict))
        return [self._instance(value, index) for index, value in enumerate(values)], keys

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
        width = len(self._features)
        if set(map(len, rows)) != {width}:
            return None
        if self._codes:
            columns: list[Any] = list(zip(*rows, strict=True))
            try:
                for i, codes in self._codes.items():
                    columns[i] = [codes[value] for value in columns[i]]
            except (KeyError, TypeError):
                return None
            return self._encode_numbers(columns, (width, len(rows)), transposed=True)
        return self._encode_numbers(rows, (len(rows), width), transposed=False)

    def _encode_numbers(self, rows: _Rows, shape: tuple[int, int], *, transposed: bool) -> Matrix | None:
        cells = list(chain.from_iterable(rows))
        if not _NUMBERS.issuperset(map(type, cells)):
            return None
        try:
            numbers = np.array(cells, dtype=np.float64).reshape(shape)
        except OverflowError:
            return None
        return self._checked(numbers.T if transposed else numbers)

    # both

    def _checked(self, numbers: Numbers) -> Matrix | None:
        """The numbers as the model takes them, or None if any of them is not what its column holds."""
        with np.errstate(over="ignore"):
            matrix: Matrix = np.ascontiguousarray(numbers, dtype=np.float32)
        finite = np.isfinite(matrix)
        if not finite.all() and not (finite | (np.isnan(numbers) & self._missing)).all():
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
        return matrix

    def _encode_exactly(self, rows: _Rows, encode: _Encode) -> Matrix:
        if not rows:
            raise RequestError(400, "There are no instances.")
        for index, row in enumerate(rows):
            self._check_width(row, index)
        columns = zip(self._features, zip(*rows, strict=True), strict=True)
        return to_matrix(_encode_column(feature, cells, encode) for feature, cells in columns)

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


def _empty() -> RequestError:
    return RequestError(400, "The body is empty; send at least one instance.")


def _load_json(text: bytes, what: str = "The body") -> Any:
    if not text.strip():
        raise _empty()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"{what} is not JSON: {error}.") from error


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


def _encode_column(feature: Feature, cells: Sequence[Any], encode: _Encode) -> Numbers:
    try:
        return encode(feature, cells)
    except CellError as error:
        raise RequestError(400, f"Instance {error.row}, column '{feature.name}': {error}.") from error
