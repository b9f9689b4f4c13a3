"""What bodies of all types have in common: rows that become the encoded matrix (see request.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from model_src.encoding import (
    LARGEST_INTEGER,
    LARGEST_NUMBER,
    UNKNOWN,
    CellError,
    Feature,
    Matrix,
    Numbers,
    to_matrix,
)
from model_src.errors import RequestError

Row = Sequence[Any]
Rows = Sequence[Row]
Encode = Callable[[Feature, Sequence[Any]], Numbers]

_NUMBERS = frozenset({int, float, type(None)})


class RowEncoder:
    """Encodes the rows of one model's requests; what it needs to know of the features is worked out once.

    A large body is read in parts of about `part_bytes`, and of `part_rows` at most: no other thread of Python
    runs while a library reads one, so /ping waits.
    """

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

    def _order(self, header: list[str]) -> list[int] | None:
        """Where each feature stands in a header; None if this line is no header."""
        if len(header) != len(self._names) or set(header) != self._known:
            return None
        return [header.index(name) for name in self._names]

    def _encode(
        self, rows: Rows, start: int, fast: Callable[[Rows], Matrix | None] | None, exact: Encode
    ) -> Matrix:
        """The matrix of rows of the right width; `start` is how many were before them."""
        matrix = fast(rows) if fast else None
        if matrix is not None:
            return matrix
        columns = zip(self._features, zip(*rows, strict=True), strict=True)
        return to_matrix(_encode_column(feature, cells, exact, start) for feature, cells in columns)

    def _encode_numbers(self, rows: Rows, *, transposed: bool = False) -> Matrix | None:
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


class _Codes(dict[Any, float]):
    """A category's codes by value; a look-up raises KeyError for what only the exact way can judge."""

    def __init__(self, feature: Feature) -> None:
        super().__init__({category: float(code) for code, category in enumerate(feature.categories)})
        self._closed = feature.closed
        if feature.missing:
            self.update({"": float("nan"), None: float("nan")})

    def __missing__(self, value: object) -> float:
        if not isinstance(value, str) or not value:
            raise KeyError(value)
        if (stripped := value.strip()) != value:
            return self[stripped]
        if self._closed:
            raise KeyError(value)
        return UNKNOWN


def join_parts(parts: Sequence[Matrix]) -> Matrix:
    if not parts:
        raise RequestError(400, "There are no instances.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def empty_body() -> RequestError:
    return RequestError(400, "The body is empty; send at least one instance.")


def _encode_column(feature: Feature, cells: Sequence[Any], encode: Encode, start: int) -> Numbers:
    try:
        return encode(feature, cells)
    except CellError as error:
        raise RequestError(400, f"Instance {start + error.row}, column '{feature.name}': {error}.") from error
