"""CSV bodies: rows in the features' order, or below a header that names them (see request.py)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import numpy as np

from model_src.encoding import Feature, Matrix, Numbers, encode_text
from model_src.errors import RequestError
from model_src.rows import RowEncoder, Rows, empty_body, join_parts

_FEW_BYTES: Final = 256  # up to here Python is faster than numpy's reader, which takes 8 µs to begin
_LINE_END = re.compile(rb"\r?\n|\r")


class CsvParser(RowEncoder):
    """Reads CSV bodies."""

    def _parse_csv(self, body: bytes) -> Matrix:
        plain = self._is_plain(body)
        if plain and not self._codes:
            few = len(body) <= _FEW_BYTES and b"_" not in body
            matrix = self._read_few(body) if few else self._read_numbers(body)
            if matrix is not None:
                return matrix
        fast = self._encode_csv if plain else None
        parts, rows, start = [], self._csv_rows(body), 0
        while part := list(islice(rows, self.part_rows)):
            parts.append(self._encode(part, start, fast, _encode_stripped))
            start += len(part)
        return join_parts(parts)

    def _is_plain(self, body: bytes) -> bool:
        """Whether float takes no more of the cells than it should: 1_0, and digits of all scripts."""
        if not body.isascii():
            return False
        if b"_" not in body:
            return True
        first, rest = _split_line(body)
        return self._header_order(first) is not None and body.find(b"_", rest) < 0

    def _header_order(self, line: bytes) -> list[int] | None:
        text = line.decode("utf-8-sig", errors="replace")
        return self._order([name.strip() for name in text.split(",")])

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
        first, rest = _split_line(body)
        order = self._header_order(first)
        start = rest if order else 0
        if _split_line(body, start)[0].count(b",") + 1 != len(self._features):
            return None
        parts = []
        for text in _cut_lines(body, start, self.part_bytes):
            part = self._read_part(text, order)
            if part is None:
                return None
            parts.append(part)
        return join_parts(parts) if parts else None

    def _read_part(self, text: bytes, order: list[int] | None) -> Matrix | None:
        try:
            numbers = np.loadtxt(io.BytesIO(text), delimiter=",", comments=None, ndmin=2)
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
                raise empty_body()
            order = self._order([name.strip() for name in first])
            for index, row in enumerate(rows if order else chain([first], rows)):
                self._check_width(row, index)
                yield [row[i] for i in order] if order else row
        except csv.Error as error:
            raise RequestError(400, f"The body is not CSV: {error}.") from error

    def _encode_csv(self, rows: Rows) -> Matrix | None:
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


def _split_line(body: bytes, start: int = 0) -> tuple[bytes, int]:
    """The line that begins at `start`, and where the next one does."""
    end = _LINE_END.search(body, start)
    return (body[start : end.start()], end.end()) if end else (body[start:], len(body))


def _cut_lines(body: bytes, start: int, part_bytes: int) -> Iterator[bytes]:
    """The lines from `start` on, some at a time; none where all are blank."""
    while start < len(body):
        end = _LINE_END.search(body, start + part_bytes)
        stop = end.end() if end else len(body)
        text = body[start:stop]
        if not text.isspace():
            yield text
        start = stop


def _encode_stripped(feature: Feature, cells: Sequence[str]) -> Numbers:
    return encode_text(feature, [cell.strip() for cell in cells])
