"""What a client is answered: predictions as JSON or as CSV, and refusals as JSON with a reason."""

from __future__ import annotations

import numpy as np
import orjson

from model_src.artefact import Card
from model_src.encoding import Matrix
from model_src.errors import RequestError
from model_src.request import CSV, JSON


def accepted_type(header: str | None, *, content_type: str) -> str:
    """CSV or JSON, whichever an Accept header names first; a client that takes anything gets what it sent.

    Raises: RequestError 406 if it takes neither.
    """
    for part in (header or "*/*").split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        if "q=0" in parameters:
            continue
        if name in (CSV, JSON):
            return name
        if name in ("*/*", "") or name == content_type.split("/")[0] + "/*":
            return content_type
    raise RequestError(406, f"Accept is {header}; this model answers {JSON} or {CSV}.")


def render_predictions(answers: Matrix, card: Card, *, accept: str) -> bytes:
    """The predictions, one per instance.

    JSON: {"predictions": [{"label": ..., "probabilities": {...}}]}, or [{"value": ...}] for a regression.
    CSV: one label or value a line.

    Raises: RequestError 400 if an answer is not finite: some input is too large to compute with.
    """
    finite = np.isfinite(answers)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(answers), -1).all(axis=1)))
        raise RequestError(400, f"Instance {row} has no finite prediction; its values are too large.")
    if accept == CSV:
        return _render_csv(answers, card)
    if not card.classes:
        return orjson.dumps({"predictions": [{"value": value} for value in answers.tolist()]})
    names = [str(label) for label in card.classes]
    predictions = [
        {"label": card.classes[label], "probabilities": dict(zip(names, row, strict=True))}
        for label, row in zip(answers.argmax(axis=1).tolist(), answers.tolist(), strict=True)
    ]
    return orjson.dumps({"predictions": predictions})


def render_error(reason: str) -> bytes:
    """A refusal's body."""
    return orjson.dumps({"error": reason})


def _render_csv(answers: Matrix, card: Card) -> bytes:
    if card.classes:
        lines = [_quoted(str(card.classes[label])) for label in answers.argmax(axis=1).tolist()]
    else:
        lines = [repr(value) for value in answers.tolist()]
    return ("\n".join(lines) + "\n").encode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell
