"""What a model's predictions are worth, in numpy alone: scikit-learn is no part of an evaluation.

The names are SageMaker's for model quality where it has one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASSIFICATION: Final = (
    "accuracy",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "macro_recall",
    "macro_f1",
    "lowest_class_recall",
    "log_loss",
)
REGRESSION: Final = ("mae", "mse", "rmse", "r2")
LOWER_IS_BETTER: Final = ("log_loss", "mae", "mse", "rmse")

_RESAMPLES = 200


def confusion_matrix(actual: Ints, predicted: Ints, *, n_classes: int) -> Ints:
    """How often class i (row) was taken for class j (column): shape (n_classes, n_classes)."""
    cells = np.bincount(actual * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def class_recalls(confusion: Ints) -> Floats:
    """The share of each class that was recognised: shape (n_classes,); NaN where a class has no row."""
    rows = confusion.sum(axis=1).astype(np.float64)
    recalls = np.full(len(rows), np.nan)
    np.divide(confusion.diagonal(), rows, out=recalls, where=rows > 0)
    return recalls


def class_precisions(confusion: Ints) -> Floats:
    """The share of right ones among what was called each class: shape (n_classes,); 0 where none was."""
    called = confusion.sum(axis=0).astype(np.float64)
    precisions = np.zeros(len(called))
    np.divide(confusion.diagonal(), called, out=precisions, where=called > 0)
    return precisions


def classification_metrics(actual: Ints, probabilities: Floats) -> dict[str, float]:
    """Every classification metric of one sample.

    `actual` holds class indices, shape (n_rows,); `probabilities` has shape (n_rows, n_classes).
    """
    n_classes = probabilities.shape[1]
    confusion = confusion_matrix(actual, probabilities.argmax(axis=1), n_classes=n_classes)
    recalls, precisions = class_recalls(confusion), class_precisions(confusion)
    present = ~np.isnan(recalls)  # a resample can miss a small class
    recalls, precisions = recalls[present], precisions[present]
    share = confusion.sum(axis=1)[present] / len(actual)
    both = precisions + recalls
    f1 = np.divide(2 * precisions * recalls, both, out=np.zeros_like(both), where=both > 0)
    chosen = np.clip(probabilities[np.arange(len(actual)), actual], 1e-15, 1.0)
    return {
        "accuracy": float(confusion.trace() / len(actual)),
        "weighted_precision": float(precisions @ share),
        "weighted_recall": float(recalls @ share),
        "weighted_f1": float(f1 @ share),
        "macro_recall": float(recalls.mean()),
        "macro_f1": float(f1.mean()),
        "lowest_class_recall": float(recalls.min()),
        "log_loss": float(-np.log(chosen).mean()),
    }


def regression_metrics(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Every regression metric of one sample; both of shape (n_rows,), in the target's unit."""
    error = predicted - actual
    mse = float(np.mean(error**2))
    spread = float(np.mean((actual - actual.mean()) ** 2))
    return {
        "mae": float(np.mean(np.abs(error))),
        "mse": mse,
        "rmse": mse**0.5,
        "r2": 1 - mse / spread if spread else 0.0,
    }


def resamples(n_rows: int) -> Ints:
    """Row indices of seeded bootstrap samples, for the metrics' standard deviations: shape (200, n_rows)."""
    return np.random.default_rng(0).integers(0, n_rows, size=(_RESAMPLES, n_rows))
