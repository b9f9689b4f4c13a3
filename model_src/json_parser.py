"""JSON bodies and JSON lines (see request.py)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import orjson

from model_src.encoding import Matrix, encode_values
from model_src.errors import RequestError
from model_src.rows import RowEncoder, Rows, empty_body, join_parts

LISTS: Final = ("instances", "inputs", "dataframe_records")
# What stands before the first instance, where the instances are the last thing in the body.
_OPENING = re.compile(
    rb'\s*(?:\{\s*"(?:%s)"\s*:\s*|\{\s*"dataframe_split"\s*:\s*\{\s*"columns"\s*:\s*\[[^]]*\]\s*,\s*"data"\s*:\s*)?\['
    % "|".join(LISTS).encode()
)
_BETWEEN = re.compile(rb"(?<=[\]}])\s*,(?=\s*[\[{])")
_TOKEN = re.compile(rb'("[^"]*")(\s*:)?|[{}]')
_KEY = re.compile(rb'"\s*:')
# No other thread of Python runs while one text is read, and what costs are its keys and brackets: as many of
# them as would take a second are in no larger text than this that anyone needs.
_SMALL_BYTES: Final = 1024**2
_MAX_KEYS: Final = 100_000
_MAX_BRACKETS: Final = 4_000_000


class JsonParser(RowEncoder):
    """Reads JSON bodies and JSON lines."""

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
        return join_parts(parts)

    def _json_rows(self, text: bytes, start: int, *, cut: bool) -> tuple[Rows, int]:
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
        lines = (
            (number, line)
            for number, ended in enumerate(io.BytesIO(body), start=1)
            if (line := ended.rstrip())
        )
        parts, start = [], 0
        while part := list(islice(lines, self.part_rows)):
            values = [_load_json(line, f"Line {number}") for number, line in part]
            rows, keys = self._instances(values, start)
            parts.append(self._encode(rows, start, self._encode_json, encode_values))
            _refuse_duplicates([line for _, line in part], keys)
            start += len(part)
        if not parts:
            raise empty_body()
        return join_parts(parts)

    def _instances(self, values: list[Any], start: int) -> tuple[Rows, int]:
        """Each instance's values in the features' order, and how many keys its objects had."""
        rows: Rows = values
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

    def _encode_json(self, rows: Rows) -> Matrix | None:
        if not self._codes:
            return self._encode_numbers(rows)
        columns: list[Any] = list(zip(*rows, strict=True))
        try:
            for i, codes in self._codes.items():
                columns[i] = [codes[value] for value in columns[i]]
        except (KeyError, TypeError):
            return None
        return self._encode_numbers(columns, transposed=True)


class _CutError(RequestError):
    """The text is no JSON, or one that a cut in the wrong place could have made."""


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


def _load_json(text: bytes, what: str = "The body") -> Any:
    if not text.strip():
        raise empty_body()
    if len(text) > _SMALL_BYTES:
        _refuse_costly(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        line = "" if what != "The body" or error.lineno == 1 else f"line {error.lineno}, "
        raise _CutError(400, f"{what} is not JSON: {error.msg} at {line}column {error.colno}.") from error


def _refuse_costly(text: bytes) -> None:
    """Refuses what would be read for seconds in one go: a body that is not cut, or an instance."""
    brackets = text.count(b"[") + text.count(b"{")
    if brackets <= _MAX_BRACKETS and next(islice(_KEY.finditer(text), _MAX_KEYS, None), None) is None:
        return
    raise RequestError(
        413,
        f"Over {_MAX_KEYS} keys or {_MAX_BRACKETS} brackets are in {len(text)} bytes of JSON that must be"
        " read at once: in one instance, or in a body whose instances are not the last thing in it.",
    )


def _refuse_duplicates(texts: Sequence[bytes], keys: int) -> None:
    """Refuses an object that has a key twice, of which orjson keeps the last without a word.

    Each key has a colon after it, so as many colons as parsed keys mean that none was dropped. More of them
    may also stand in strings; then the keys are looked at one by one, in texts that are known to be JSON.
    """
    if sum(text.count(b":") for text in texts) == keys:
        return
    for text in texts:
        seen: list[set[bytes]] = []
        # As long as the text, and a quote in it begins or ends a string.
        plain = text.replace(rb"\\", b"__").replace(rb"\"", b"__")
        for token in _TOKEN.finditer(plain):
            if token[2]:
                _note_key(text[slice(*token.span(1))], seen[-1])
            elif token[0] == b"{":
                seen.append(set())
            elif token[0] == b"}":
                seen.pop()


def _note_key(key: bytes, seen: set[bytes]) -> None:
    if b"\\" in key:
        key = orjson.dumps(orjson.loads(key))  # the same key, written in one way
    if key in seen:
        raise RequestError(400, f"An object has the key '{orjson.loads(key)[:100]}' twice.")
    seen.add(key)
