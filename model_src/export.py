"""From the fitted pipeline to ONNX, and the proof that both answer alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_src.contract import Task
from model_src.encoding import UNKNOWN, Feature, Matrix
from model_src.errors import TrainingError
from model_src.predictor import Predictor
from model_src.probe import largest_difference

_OPSET = {"": 17, "ai.onnx.ml": 3}
_PARITY_ROWS = 20_000


@dataclass(frozen=True)
class Parity:
    """The largest difference between ONNX Runtime and scikit-learn: relative above 1, absolute below."""

    difference: float
    rows: int


def export_pipeline(pipeline: Any, *, n_features: int, n_classes: int) -> bytes:
    """The pipeline as an ONNX model: `features` (n, n_features) float32 in; `probabilities` (n, n_classes)
    out, or `value` (n, 1) where there are no classes.

    Raises: TrainingError if skl2onnx cannot convert it.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    if n_classes:
        outputs = [("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, n_classes]))]
        options = {id(pipeline.steps[-1][1]): {"zipmap": False}}
    else:
        outputs, options = [("value", FloatTensorType([None, 1]))], None
    _round_thresholds(pipeline.steps[-1][1])
    try:
        model = convert_sklearn(
            pipeline,
            name="model",  # else a random one, and no two exports are the same bytes
            initial_types=[("features", FloatTensorType([None, n_features]))],
            final_types=outputs,
            options=options,
            target_opset=_OPSET,
        )
    except Exception as error:
        raise TrainingError(
            f"skl2onnx cannot convert {type(pipeline.steps[-1][1]).__name__}: {error}"
        ) from error
    # skl2onnx lists them in the order of a set, which is another one in each process.
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return bytes(model.SerializeToString(deterministic=True))


def _round_thresholds(estimator: Any) -> None:
    """Moves the thresholds of a HistGradientBoosting down to 32-bit floats; on 32-bit input its answers stay
    the same.

    skl2onnx rounds them to the nearest instead, some of them up, and a value between the two takes the other
    branch. It has the same care as this for scikit-learn's other trees.
    """
    for tree in (tree for trees in getattr(estimator, "_predictors", []) for tree in trees):
        exact = tree.nodes["num_threshold"]
        nearest = exact.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
        tree.nodes["num_threshold"] = np.where(nearest > exact, below, nearest)


def measure_parity(
    pipeline: Any, predictor: Predictor, *, task: Task, matrix: Matrix, features: Sequence[Feature]
) -> Parity:
    """How far ONNX Runtime is from scikit-learn on the training rows and on edge rows made from them."""
    rows = np.vstack([matrix[:_PARITY_ROWS], edge_rows(matrix, features)])
    expected = ask_pipeline(pipeline, rows, task=task)
    answered = predictor.predict(rows).astype(np.float64)
    return Parity(largest_difference(answered, expected), len(rows))


def ask_pipeline(pipeline: Any, rows: Matrix, *, task: Task) -> Any:
    """What scikit-learn answers: probabilities, or values."""
    ask = pipeline.predict_proba if task == "classification" else pipeline.predict
    return ask(rows.astype(np.float64))


def edge_rows(matrix: Matrix, features: Sequence[Feature]) -> Matrix:
    """A typical row with one feature at each of its edge values in turn: shape (n_rows, n_features)."""
    typical = matrix[~np.isnan(matrix).any(axis=1)][:1]
    if not len(typical):
        typical = np.nan_to_num(matrix[:1])
    rows = []
    for index, feature in enumerate(features):
        for value in _edge_values(matrix[:, index], feature):
            row = typical[0].copy()
            row[index] = value
            rows.append(row)
    return np.array(rows, dtype=np.float32)


def _edge_values(column: Matrix, feature: Feature) -> list[float]:
    missing = [math.nan] if feature.missing else []
    if feature.type == "category":
        unknown = [] if feature.closed else [UNKNOWN]
        return [*map(float, range(len(feature.categories))), *unknown, *missing]
    low, high = np.float32(np.nanmin(column)), np.float32(np.nanmax(column))
    neighbours = [np.nextafter(edge, np.float32(way)) for edge in (low, high) for way in (-np.inf, np.inf)]
    span = high - low
    return [float(value) for value in (low, high, *neighbours, low - span, high + span, 0.0)] + missing
