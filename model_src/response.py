"""What a client is answered: predictions in the form it takes, and refusals as JSON with a reason.

Without a wish, a prediction is {"label": ..., "probabilities": {...}} or {"value": ...}, in CSV the label or
value alone. A wish is a choice of outputs, named and written as the containers of SageMaker Autopilot do it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any, Final

import numpy as np
import orjson

from model_src.artefact import Card
from model_src.contract import Label
from model_src.encoding import Matrix
from model_src.errors import RequestError
from model_src.media import CSV, JSON, JSON_LINES

CLASSIFICATION_OUTPUTS: Final = ("predicted_label", "probability", "probabilities", "labels")
REGRESSION_OUTPUTS: Final = ("predicted_label",)
PART_ROWS: Final = 10_000  # that are Python's objects at one time, which take ten times their text
_FEW_NUMBERS = 100  # up to here Python is faster than numpy


def offered_outputs(card: Card) -> tuple[str, ...]:
    """What can be chosen for each prediction of the model."""
    return CLASSIFICATION_OUTPUTS if card.classes else REGRESSION_OUTPUTS


def read_outputs(text: str, card: Card) -> tuple[str, ...]:
    """The outputs chosen by names between commas or pluses; none for the form without a wish.

    Raises: RequestError 406 with the name that the model has no output for.
    """
    names = tuple(name.strip() for name in text.replace("+", ",").split(",") if name.strip())
    for name in names:
        if name not in offered_outputs(card):
            offered = ", ".join(offered_outputs(card))
            raise RequestError(406, f"There is no output '{name[:100]}'; choose of {offered}.")
    return names


def render_predictions(answers: Matrix, card: Card, *, accept: str, outputs: Sequence[str] = ()) -> bytes:
    """The predictions, one per instance, as {"predictions": [...]}, or one a line.

    Raises: RequestError 400 if an answer is not finite: some input is too large to compute with.
    """
    if not _all_finite(answers):
        row = int(np.argmin(np.isfinite(answers).reshape(len(answers), -1).all(axis=1)))
        raise RequestError(400, f"Instance {row} has no finite prediction; its values are too large.")
    render = partial(_RENDERERS[accept], card=card, outputs=outputs)
    start, between, end = (b'{"predictions":[', b",", b"]}") if accept == JSON else (b"", b"", b"")
    if len(answers) <= PART_ROWS:
        return start + render(answers) + end
    # One buffer that grows: a list of parts and what is joined of it would be the answer twice.
    whole = io.BytesIO()
    whole.write(start)
    for first in range(0, len(answers), PART_ROWS):
        if first:
            whole.write(between)
        whole.write(render(answers[first : first + PART_ROWS]))
    whole.write(end)
    return whole.getvalue()


def _all_finite(answers: Matrix) -> bool:
    if answers.size <= _FEW_NUMBERS:
        return math.isfinite(sum(answers.ravel().tolist()))
    return bool(np.isfinite(answers).all())


def render_error(reason: str) -> bytes:
    """A refusal's body."""
    return orjson.dumps({"error": reason})


def _render_objects(answers: Matrix, card: Card, outputs: Sequence[str]) -> bytes:
    """JSON objects with commas between them."""
    return orjson.dumps(_chosen(answers, card, outputs) if outputs else _predictions(answers, card))[1:-1]


def _render_lines(answers: Matrix, card: Card, outputs: Sequence[str]) -> bytes:
    # No string holds a quote without a backslash, so these are the ends of objects.
    return _render_objects(answers, card, outputs).replace(b'},{"', b'}\n{"') + b"\n"


def _predictions(answers: Matrix, card: Card) -> list[dict[str, Any]]:
    if not card.classes:
        return [{"value": value} for value in answers.tolist()]
    names = [str(label) for label in card.classes]
    return [
        {"label": card.classes[best], "probabilities": dict(zip(names, row, strict=True))}
        for best, row in zip(answers.argmax(axis=1).tolist(), answers.tolist(), strict=True)
    ]


def _chosen(answers: Matrix, card: Card, outputs: Sequence[str]) -> list[dict[str, Any]]:
    columns = [_output(name, answers, card) for name in outputs]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def _output(name: str, answers: Matrix, card: Card) -> Iterable[Any]:
    """One output of every instance."""
    if not card.classes:
        return list(answers.tolist())
    if name == "predicted_label":
        return [card.classes[best] for best in answers.argmax(axis=1).tolist()]
    if name == "probability":
        return list(answers.max(axis=1).tolist())
    return list(answers.tolist()) if name == "probabilities" else [list(card.classes)] * len(answers)


def _render_csv(answers: Matrix, card: Card, outputs: Sequence[str]) -> bytes:
    if outputs:
        return _render_chosen_csv(answers, card, outputs)
    if card.classes:
        lines = _csv_lines(card.classes)
        return b"".join([lines[best] for best in answers.argmax(axis=1).tolist()])
    numbers = orjson.dumps(answers, option=orjson.OPT_SERIALIZE_NUMPY)
    return numbers[1:-1].replace(b",", b"\n") + b"\n"


def _render_chosen_csv(answers: Matrix, card: Card, outputs: Sequence[str]) -> bytes:
    """The outputs as columns; a list is one cell, with JSON in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in _chosen(answers, card, outputs):
        cells = row.values()
        writer.writerow([orjson.dumps(cell).decode() if isinstance(cell, list) else cell for cell in cells])
    return text.getvalue().encode()


@cache
def _csv_lines(classes: tuple[Label, ...]) -> list[bytes]:
    return [f"{_quoted(str(label))}\n".encode() for label in classes]


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell


_RENDERERS: Final = {JSON: _render_objects, JSON_LINES: _render_lines, CSV: _render_csv}
