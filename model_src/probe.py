"""Rows that the training library answered when the model was exported, kept in the model's card.

Evaluation asks the ONNX file the same again, in an image without that library: an export that was broken
or exchanged after training differs, whatever the trainer measured. The rows are nobody's: each of their
cells is drawn from its column by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_src.artefact import Card
from model_src.encoding import Matrix
from model_src.errors import ArtefactError
from model_src.predictor import Predictor

_ROWS: Final = 64
LARGEST_DIFFERENCE: Final = float(np.finfo(np.float32).max)

Answers = NDArray[np.float64]


def make_probe(matrix: Matrix, ask: Callable[[Matrix], Any]) -> dict[str, Any]:
    """The card's member: `rows`, with null for a missing value, and what `ask` answers."""
    random = np.random.default_rng(0)
    rows = np.column_stack([random.choice(column, size=_ROWS) for column in matrix.T]).astype(np.float32)
    answers = np.asarray(ask(rows), dtype=np.float64)
    shown = [[None if math.isnan(cell) else cell for cell in row] for row in rows.tolist()]
    return {"rows": shown, "answers": answers.tolist()}


def measure_probe(card: Card, predictor: Predictor) -> float:
    """The largest difference between the model's answers and those in its card.

    Raises: ArtefactError if the card holds no such answers.
    """
    probe = card.origin.get("probe")
    try:
        if not isinstance(probe, Mapping):
            raise TypeError("there is no probe")
        cells = [[np.nan if cell is None else float(cell) for cell in row] for row in probe["rows"]]
        rows = np.array(cells, dtype=np.float32).reshape(-1, len(card.features))
        expected = np.array(probe["answers"], dtype=np.float64)
        if len(rows) < _ROWS or len(expected) != len(rows):
            raise ValueError(f"{len(rows)} rows with {len(expected)} answers")
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"The card does not hold what the training library answered ({error}), so that its export cannot "
            "be checked; train the model with this version's image."
        ) from error
    answered = predictor.predict(rows).astype(np.float64)
    if answered.shape != expected.shape:
        raise ArtefactError(f"The card's answers have shape {expected.shape}, the model's {answered.shape}.")
    return largest_difference(answered, expected)


def largest_difference(answered: Answers, expected: Answers) -> float:
    """The largest difference: relative above 1, absolute below; a finite number in every case."""
    difference = np.abs(answered - expected) / np.maximum(1.0, np.abs(expected))
    largest = float(difference.max())
    return largest if math.isfinite(largest) else LARGEST_DIFFERENCE
