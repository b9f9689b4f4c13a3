"""How cells become numbers, once for training, evaluation and serving, so that they cannot differ.

A model's input is one float32 matrix, a column per feature in the contract's order. A number is itself, a
category is its position in the feature's list of categories, a missing value is NaN, and a category never
seen in training (possible only where the contract lists none) is UNKNOWN. Everything after that (imputation,
scaling, one-hot) is in the ONNX graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from model_src.contract import Column, ColumnType

Matrix = NDArray[np.float32]
Numbers = NDArray[np.float64]

LARGEST_NUMBER: Final = 1e30  # what a model adds and multiplies must stay far from the last 32-bit float
LARGEST_INTEGER: Final = 2**24  # above it, whole numbers begin to share a 32-bit float
UNKNOWN: Final = -2.0  # -1 is what the graph puts in the place of a missing category


class CellError(ValueError):
    """A cell that is not what its column holds; `row` counts from 0."""

    def __init__(self, row: int, reason: str) -> None:
        self.row = row
        super().__init__(reason)


@dataclass(frozen=True)
class Feature:
    """One column of the matrix.

    `categories` are a category's values in the order of their codes; `closed` says that no other value is
    allowed. For an integer with allowed values `categories` is empty and `allowed` holds them.
    """

    name: str
    type: ColumnType
    missing: bool
    categories: tuple[str, ...] = ()
    closed: bool = True
    allowed: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The feature as model.json holds it."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Feature:
        """The feature that `to_json` wrote. Raises: ValueError, TypeError or KeyError if it did not."""
        lists = {key: tuple(value[key]) for key in ("categories", "allowed")}
        feature = Feature(**{**value, **lists})
        named = f"the feature {feature.name!r}"
        if not isinstance(feature.name, str) or not feature.name:
            raise ValueError(f"{named} has a name that is no text")
        if feature.type not in get_args(ColumnType):
            raise ValueError(f"{named} has the type {feature.type!r}")
        if type(feature.missing) is not bool or type(feature.closed) is not bool:
            raise ValueError(f"{named}: missing and closed must be true or false")
        if feature.categories and feature.type != "category":
            raise ValueError(f"{named} has categories, but is no category")
        refuse_duplicates(feature.categories, kinds=(str,), what=f"the categories of {named}")
        refuse_duplicates(feature.allowed, kinds=(int,), what=f"the allowed values of {named}")
        return feature


def refuse_duplicates(values: Sequence[object], *, kinds: tuple[type, ...], what: str) -> None:
    """Nothing, for values of these kinds that are all different, as text too. Raises: ValueError."""
    for value in values:
        if type(value) not in kinds:
            raise ValueError(
                f"{what} hold {value!r}, which is not {' or '.join(kind.__name__ for kind in kinds)}"
            )
    if len({str(value) for value in values}) < len(values):
        raise ValueError(f"{what} hold a value twice")


def learn_feature(column: Column, cells: Sequence[str]) -> Feature:
    """The feature of `column`; its categories are those of the contract, or else those among `cells`."""
    if column.type == "category":
        categories = column.allowed or sorted({cell for cell in cells if cell})
        names = tuple(str(category) for category in categories)
        return Feature(column.name, "category", column.missing, names, closed=column.allowed is not None)
    allowed = tuple(int(value) for value in column.allowed or ())
    return Feature(column.name, column.type, column.missing, allowed=allowed)


def encode_text(feature: Feature, cells: Sequence[str]) -> Numbers:
    """The column for CSV cells: shape (n_rows,), finite or NaN; an empty cell is a missing value.

    Raises: CellError for the first cell that is not what the feature holds.
    """
    if feature.type == "category":
        return _encode_categories(feature, [cell or None for cell in cells])
    try:
        numbers = np.array([cell or "nan" for cell in cells], dtype=np.float64)
    except ValueError:
        numbers = np.array([_number_from(cell, row) for row, cell in enumerate(cells)], dtype=np.float64)
    missing = np.array([not cell for cell in cells], dtype=bool)
    if np.isnan(numbers).sum() != missing.sum() or not _is_plain("".join(cells)):
        for row, cell in enumerate(cells):
            _number_from(cell, row)
    return _checked(feature, numbers, missing)


def encode_values(feature: Feature, values: Sequence[object]) -> Numbers:
    """The column for JSON values: shape (n_rows,), finite or NaN; null is a missing value.

    Text counts without the blanks around it, as in CSV.

    Raises: CellError for the first value that is not what the feature holds.
    """
    if feature.type == "category":
        return _encode_categories(
            feature, [value.strip() if isinstance(value, str) else value for value in values]
        )
    for row, value in enumerate(values):
        if value is not None and type(value) not in (int, float):
            raise CellError(row, f"{_shown(value)} is not a number")
    missing = np.array([value is None for value in values], dtype=bool)
    try:
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except OverflowError:
        row = next(i for i, value in enumerate(values) if isinstance(value, int) and abs(value) > 2**1023)
        raise CellError(row, f"{_shown(values[row])} is too large") from None
    return _checked(feature, numbers, missing)


def to_matrix(columns: Iterable[Numbers]) -> Matrix:
    """The columns side by side: shape (n_rows, n_features)."""
    return np.ascontiguousarray(np.column_stack(list(columns)).astype(np.float32))


def _number_from(cell: str, row: int) -> float:
    if not cell:
        return float("nan")
    try:
        number = float(cell) if _is_plain(cell) else None
    except ValueError:
        number = None
    if number is None:
        raise CellError(row, f"{_shown(cell)} is not a number")
    if not np.isfinite(number):
        raise CellError(
            row, f"{_shown(cell)} is not a finite number; leave the cell empty for a missing value"
        )
    return number


def _is_plain(text: str) -> bool:
    """Whether all numbers in it are read alike by everybody; Python alone takes 1_000 and Arabic digits."""
    return text.isascii() and "_" not in text


def _checked(feature: Feature, numbers: Numbers, missing: NDArray[np.bool_]) -> Numbers:
    if not feature.missing:
        _refuse_first(missing, numbers, "a value is missing; the column does not allow it")
    _refuse_first(~missing & ~(np.abs(numbers) <= LARGEST_NUMBER), numbers, f"is beyond {LARGEST_NUMBER:g}")
    if feature.type == "integer":
        _refuse_first(~missing & (numbers != np.floor(numbers)), numbers, "is not an integer")
        reason = f"is beyond {LARGEST_INTEGER}, up to where an integer is exact; a `number` would be rounded"
        _refuse_first(~missing & (np.abs(numbers) > LARGEST_INTEGER), numbers, reason)
    if feature.allowed:
        reason = f"is not allowed; allowed are {', '.join(map(str, feature.allowed))}"
        _refuse_first(~missing & ~np.isin(numbers, feature.allowed), numbers, reason)
    return numbers


def _refuse_first(wrong: NDArray[np.bool_], numbers: Numbers, reason: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        shown = "" if np.isnan(numbers[row]) else f"{numbers[row]:.15g} "
        raise CellError(row, shown + reason)


def _encode_categories(feature: Feature, values: Sequence[object]) -> Numbers:
    codes = {category: float(code) for code, category in enumerate(feature.categories)}
    return np.array([_code(feature, codes, value, row) for row, value in enumerate(values)], dtype=np.float64)


def _code(feature: Feature, codes: Mapping[str, float], value: object, row: int) -> float:
    if value is None or value == "":
        if feature.missing:
            return float("nan")
        raise CellError(row, "a value is missing; the column does not allow it")
    if not isinstance(value, str):
        raise CellError(row, f"{_shown(value)} is not text")
    code = codes.get(value)
    if code is None and feature.closed:
        raise CellError(row, f"{_shown(value)} is not allowed; allowed are {', '.join(feature.categories)}")
    return UNKNOWN if code is None else code


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
