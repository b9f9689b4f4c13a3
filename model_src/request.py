"""What a client asks: the body of an invocation, as the encoded matrix.

A CSV body has a row per instance in the features' order, or a header that names them. A JSON body is a list
of instances, bare or under `instances`; an instance is a list in the features' order, or an object by name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from model_src.encoding import CellError, Feature, Matrix, Numbers, encode_text, encode_values, to_matrix
from model_src.errors import RequestError

CSV = "text/csv"
JSON = "application/json"

_Encode = Callable[[Feature, Sequence[Any]], Numbers]


def content_type_of(header: str | None) -> str:
    """CSV or JSON, from a Content-Type header.

    Raises: RequestError 415 for anything else; without a header, SageMaker's own default (none) is refused
    too.
    """
    name = (header or "").split(";")[0].strip().lower()
    if name not in (CSV, JSON):
        raise RequestError(415, f"Content-Type is {name or 'not given'}; send {CSV} or {JSON}.")
    return name


def parse_request(content_type: str, body: bytes, *, features: tuple[Feature, ...]) -> Matrix:
    """The body's instances: shape (n_rows, n_features).

    Raises: RequestError 400 that says which row and column is wrong.
    """
    if not body.strip():
        raise RequestError(400, "The body is empty; send at least one instance.")
    if content_type == CSV:
        return _encode_rows(_csv_rows(body, features), features, encode_text)
    return _encode_rows(_json_rows(body, features), features, encode_values)


def _csv_rows(body: bytes, features: tuple[Feature, ...]) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise RequestError(
            400, f"The body is not UTF-8 text: {error.reason} at byte {error.start}."
        ) from error
    except csv.Error as error:
        raise RequestError(400, f"The body is not CSV: {error}.") from error
    rows = [[cell.strip() for cell in row] for row in rows]
    names = [feature.name for feature in features]
    if rows and sorted(rows[0]) == sorted(names):
        order = [rows[0].index(name) for name in names]
        rows = [[row[i] for i in order] if len(row) == len(order) else row for row in rows[1:]]
    return rows


def _json_rows(body: bytes, features: tuple[Feature, ...]) -> list[Sequence[Any]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"The body is not JSON: {error}.") from error
    if isinstance(value, dict):
        if value.keys() != {"instances"}:
            raise RequestError(400, 'The body is an object without "instances", or with more than that.')
        value = value["instances"]
    if not isinstance(value, list):
        raise RequestError(400, "The instances are not a list.")
    return [_json_row(instance, index, features) for index, instance in enumerate(value)]


def _json_row(instance: Any, index: int, features: tuple[Feature, ...]) -> Sequence[Any]:
    if isinstance(instance, list):
        return instance
    if not isinstance(instance, Mapping):
        raise RequestError(400, f"Instance {index} is neither a list of values nor an object by column.")
    row = [instance.get(feature.name) for feature in features]
    known = {feature.name for feature in features}
    for name in instance:
        if name not in known:
            raise RequestError(400, f"Instance {index} has an unknown column '{name[:100]}'.")
    return row


def _encode_rows(rows: Sequence[Sequence[Any]], features: tuple[Feature, ...], encode: _Encode) -> Matrix:
    if not rows:
        raise RequestError(400, "There are no instances.")
    for index, row in enumerate(rows):
        if len(row) != len(features):
            raise RequestError(
                400, f"Instance {index} has {len(row)} values; the model has {len(features)} features."
            )
    return to_matrix(
        _encode_column(feature, cells, encode)
        for feature, cells in zip(features, zip(*rows, strict=True), strict=True)
    )


def _encode_column(feature: Feature, cells: Sequence[Any], encode: _Encode) -> Numbers:
    try:
        return encode(feature, cells)
    except CellError as error:
        raise RequestError(400, f"Instance {error.row}, column '{feature.name}': {error}.") from error
