"""Reading a dataset: CSV files with a header, held against the contract cell by cell.

The first step of training and of evaluation. A refusal names file, line and column.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_src.contract import Column, Label, Model
from model_src.encoding import CellError, Feature, Matrix, Numbers, encode_text, learn_feature, to_matrix
from model_src.errors import DatasetError

_MAX_FIELD_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class Table:
    """The text of a dataset: cells by column, and where each row stands."""

    cells: dict[str, list[str]]
    places: list[tuple[str, int]]
    sha256: str

    def error(self, row: int, *, column: str, reason: str) -> DatasetError:
        """The error of one cell; `row` counts from 0."""
        file, line = self.places[row]
        return DatasetError(f"{file}:{line}: column '{column}': {reason}")


@dataclass(frozen=True)
class Dataset:
    """A dataset as numbers.

    `matrix` has shape (n_rows, n_features) and the encoding of `features`. `target` has shape (n_rows,):
    indices into `classes` for a classification, values in the target's unit for a regression (`classes` is
    then empty).
    """

    matrix: Matrix
    target: NDArray[np.float64]
    features: tuple[Feature, ...]
    classes: tuple[Label, ...]
    sha256: str


def read_table(files: Sequence[Path], *, columns: Sequence[str]) -> Table:
    """The rows of all `files`, which must have exactly `columns` in their headers, in any order.

    Raises: DatasetError for a file that is not such a CSV.
    """
    cells: dict[str, list[str]] = {name: [] for name in columns}
    places: list[tuple[str, int]] = []
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(content)
        _read_rows(file.name, content, cells=cells, places=places)
    if not places:
        raise DatasetError(f"{', '.join(file.name for file in files)}:1: there is a header but no row")
    return Table(cells, places, digest.hexdigest())


def read_header(file: Path, *, columns: Sequence[str]) -> list[str]:
    """The header of a CSV file, which must have exactly `columns`, in any order.

    Raises: DatasetError.
    """
    with file.open("rb") as stream:
        text = _decode(file.name, stream.readline(_MAX_FIELD_CHARACTERS))
    header = [cell.strip() for cell in next(csv.reader(io.StringIO(text, newline="")), [])]
    _check_header(file.name, header, wanted=list(columns))
    return header


def encode_training(table: Table, model: Model) -> Dataset:
    """The dataset to train on; categories and classes that the contract leaves open are learned from it.

    Raises: DatasetError for a cell outside the contract, too few rows, or a class without a row.
    """
    n_rows = len(table.places)
    if n_rows < model.min_rows:
        raise DatasetError(f"{table.places[-1][0]}: {n_rows} rows are fewer than min_rows {model.min_rows}")
    features = tuple(learn_feature(column, table.cells[column.name]) for column in model.features)
    classes = _classes(table, model) if model.task == "classification" else ()
    dataset = encode_table(table, model, features=features, classes=classes)
    for index, feature in enumerate(features):
        if np.isnan(dataset.matrix[:, index]).all():
            raise table.error(0, column=feature.name, reason="no row has a value")
    return dataset


def encode_table(
    table: Table, model: Model, *, features: tuple[Feature, ...], classes: tuple[Label, ...]
) -> Dataset:
    """The dataset in an encoding that is known already.

    Raises: DatasetError for a cell outside the contract, or a class without a row.
    """
    columns = [_encode_column(table, model.columns[feature.name], feature) for feature in features]
    if model.task == "regression":
        target = _encode_values(table, model.target)
    else:
        target = _encode_classes(table, model.target, classes)
    return Dataset(to_matrix(columns), target, features, classes, table.sha256)


def _read_rows(
    name: str, content: bytes, *, cells: dict[str, list[str]], places: list[tuple[str, int]]
) -> None:
    rows = csv.reader(io.StringIO(_decode(name, content), newline=""), strict=True)
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    try:
        header = [cell.strip() for cell in next(rows, [])]
        _check_header(name, header, wanted=list(cells))
        ordered = [cells[column].append for column in header]
        for row in rows:
            if row:
                _append_row(name, rows.line_num, row, ordered=ordered)
                places.append((name, rows.line_num))
    except csv.Error as error:
        raise DatasetError(f"{name}:{rows.line_num}: not CSV: {error}") from error


def _decode(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{name}:{line}: not UTF-8 text: {error.reason}") from error
    if not text.strip():
        raise DatasetError(f"{name}:1: the file is empty")
    if "\0" in text:
        raise DatasetError(f"{name}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: not text: a zero byte")
    return text


def _check_header(name: str, header: list[str], *, wanted: list[str]) -> None:
    for column in wanted:
        if column not in header:
            raise DatasetError(
                f"{name}:1: column '{column}' is missing; the header has {', '.join(header)[:200]}"
            )
    for column in header:
        if column not in wanted:
            raise DatasetError(f"{name}:1: column '{column[:100]}' is not in the contract")
        if header.count(column) > 1:
            raise DatasetError(f"{name}:1: column '{column}' is there twice")


def _append_row(name: str, line: int, row: list[str], *, ordered: list[Callable[[str], None]]) -> None:
    if len(row) != len(ordered):
        raise DatasetError(f"{name}:{line}: {len(row)} fields where the header has {len(ordered)}")
    for append, cell in zip(ordered, row, strict=True):
        append(cell.strip())


def _encode_column(table: Table, column: Column, feature: Feature) -> Numbers:
    try:
        numbers = encode_text(feature, table.cells[column.name])
    except CellError as error:
        raise table.error(error.row, column=column.name, reason=str(error)) from error
    for bound, outside, word in (
        (column.min, numbers < (column.min or 0), "below min"),
        (column.max, numbers > (column.max or 0), "above max"),
    ):
        if bound is not None and outside.any():
            row = int(outside.argmax())
            raise table.error(row, column=column.name, reason=f"{numbers[row]:g} is {word} {bound:g}")
    return numbers


def _encode_values(table: Table, target: Column) -> Numbers:
    """The target's numbers, which stay 64-bit: an integer may be larger than a feature's."""
    allowed = tuple(int(value) for value in target.allowed or ())
    numbers = _encode_column(table, target, Feature(target.name, "number", missing=False, allowed=allowed))
    broken = numbers != np.floor(numbers)
    if target.type == "integer" and broken.any():
        row = int(broken.argmax())
        raise table.error(row, column=target.name, reason=f"{numbers[row]:g} is not an integer")
    return numbers


def _classes(table: Table, model: Model) -> tuple[Label, ...]:
    target = model.target
    if target.allowed is not None:
        return target.allowed
    names = sorted(set(table.cells[target.name]) - {""})
    if target.type == "category":
        return tuple(names)
    numbers = _encode_values(table, target)
    return tuple(sorted({int(number) for number in numbers}))


def _encode_classes(table: Table, target: Column, classes: tuple[Label, ...]) -> Numbers:
    if target.type == "integer":
        feature = Feature(
            target.name, "number", missing=False, allowed=tuple(int(label) for label in classes)
        )
        numbers = _encode_column(table, target, feature)
        indices = np.searchsorted(np.sort(feature.allowed), numbers)
        codes = np.argsort(feature.allowed)[indices].astype(np.float64)
    else:
        feature = Feature(target.name, "category", missing=False, categories=tuple(map(str, classes)))
        codes = _encode_column(table, target, feature)
    for code, label in enumerate(classes):
        if not (codes == code).any():
            raise DatasetError(
                f"{table.places[0][0]}: column '{target.name}': no row has the class '{label}'"
            )
    if len(classes) < 2:
        raise DatasetError(f"{table.places[0][0]}: column '{target.name}': all rows are of one class")
    return codes
