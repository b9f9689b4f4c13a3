"""The server's interface as an OpenAPI document, made from the model's card; the server itself serves it."""

from __future__ import annotations

from typing import Any

from model_src.artefact import Card
from model_src.encoding import LARGEST_INTEGER, LARGEST_NUMBER, Feature
from model_src.media import CSV, JSON, JSON_LINES, TYPES
from model_src.response import offered_outputs

_ERROR = {"$ref": "#/components/schemas/Error"}
_TEXT = {"type": "string", "pattern": r"\S"}
_BLANK = {"type": "string", "pattern": r"^\s*$", "description": "A missing value, too."}
_REFUSALS = {
    "400": "The body is not what the model takes; the reason names instance and column.",
    "406": "Accept names no form that can be answered.",
    "408": "The body was not sent in time.",
    "413": "The body is too large.",
    "415": "Content-Type names no form that can be read.",
    "431": "A header is too long.",
    "503": "The model is not loaded; the reason says why.",
}


def describe_api(card: Card, *, max_body_bytes: int) -> dict[str, Any]:
    """The document, for OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{card.model}: {card.task} of {card.target}",
            "version": "1",
            "description": f"SageMaker's serving contract; bodies of up to {max_body_bytes} bytes.",
        },
        "paths": {
            "/ping": {"get": _getter("The model is loaded.", {"type": "object"})},
            "/execution-parameters": {"get": _getter("How batch transform is to ask.", {"type": "object"})},
            "/openapi.json": {"get": _getter("This document.", {"type": "object"})},
            "/invocations": {"post": _invocation(card)},
        },
        "components": {"schemas": _schemas(card)},
    }


def _getter(meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    content = {JSON: {"schema": schema}}
    responses = {"200": {"description": meaning, "content": content}, "503": _refusal("503")}
    return {"summary": meaning, "responses": responses}


def _refusal(status: str) -> dict[str, Any]:
    return {"description": _REFUSALS[status], "content": {JSON: {"schema": _ERROR}}}


def _invocation(card: Card) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    predictions = {"schema": {"$ref": "#/components/schemas/Predictions"}}
    return {
        "summary": "Predictions for one or more instances.",
        "description": f"Accept takes {', '.join(TYPES)} with qualities; its parameter `output` chooses of"
        f" {', '.join(offered_outputs(card))}.",
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"$ref": "#/components/schemas/Request"}},
                CSV: text,
                JSON_LINES: text,
            },
        },
        "responses": {
            "200": {
                "description": "One prediction per instance, in their order.",
                "content": {JSON: predictions, CSV: text, JSON_LINES: text},
            },
            **{status: _refusal(status) for status in _REFUSALS},
        },
    }


def _schemas(card: Card) -> dict[str, Any]:
    cells = [_cell(feature) for feature in card.features]
    by_name = {feature.name: cell for feature, cell in zip(card.features, cells, strict=True)}
    needed = [feature.name for feature in card.features if not feature.missing]
    row = {"type": "array", "prefixItems": cells, "minItems": len(cells), "maxItems": len(cells)}
    instances = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Instance"}}
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {
            "columns": {
                "const": list(by_name),
                "description": "Any order is taken, too, in which the rows of data then are.",
            },
            "data": {"type": "array", "minItems": 1, "items": row},
            "index": {},  # whatever it is, it is not read
        },
        "additionalProperties": False,
    }
    by_column = {
        "type": "object",
        "properties": by_name,
        "required": needed,
        "additionalProperties": False,
    }
    forms = [row, by_column] if "features" in by_name else [row, by_column, _wrapped("features", row)]
    return {
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
        "Instance": {"oneOf": forms},
        "Request": {
            "oneOf": [
                instances,
                _wrapped("instances", instances),
                _wrapped("inputs", instances),
                _wrapped("dataframe_records", instances),
                _wrapped("dataframe_split", split),
            ]
        },
        "Predictions": _wrapped("predictions", {"type": "array", "items": _prediction(card)}),
    }


def _wrapped(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "properties": {name: schema},
        "additionalProperties": False,
    }


def _cell(feature: Feature) -> dict[str, Any]:
    schema: dict[str, Any]
    if feature.type == "category":
        schema = {"enum": list(feature.categories)} if feature.closed else _TEXT
        return {"anyOf": [schema, {"type": "null"}, _BLANK]} if feature.missing else schema
    if feature.allowed:
        schema = {"enum": list(feature.allowed)}
    else:
        largest = LARGEST_INTEGER if feature.type == "integer" else LARGEST_NUMBER
        schema = {"type": feature.type, "minimum": -largest, "maximum": largest}
    return {"anyOf": [schema, {"type": "null"}]} if feature.missing else schema


def _prediction(card: Card) -> dict[str, Any]:
    chosen: dict[str, Any] = {name: {} for name in offered_outputs(card)}
    if not card.classes:
        return {"type": "object", "properties": {"value": {"type": "number"}, **chosen}}
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    by_label = {"type": "object", "properties": {str(name): probability for name in card.classes}}
    in_order = {"type": "array", "items": probability}
    own = {"label": {"enum": list(card.classes)}, "probabilities": {"anyOf": [by_label, in_order]}}
    return {"type": "object", "properties": {**chosen, **own}, "additionalProperties": False}
