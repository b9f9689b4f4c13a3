"""The estimators on offer: scikit-learn pipelines that take the encoded matrix and convert to ONNX.

scikit-learn is imported inside the functions: evaluation and serving share this package without it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_src.contract import Scalar, Task
from model_src.encoding import Feature

_MISSING_CATEGORY = -1.0


@dataclass(frozen=True)
class _Offer:
    """Where scikit-learn keeps an estimator's classes, and what must be done to its input."""

    module: str
    classes: Mapping[Task, str]
    scaled: bool = False
    takes_missing: bool = False


_OFFERS: Mapping[str, _Offer] = {
    "logistic_regression": _Offer("linear_model", {"classification": "LogisticRegression"}, scaled=True),
    "linear_regression": _Offer("linear_model", {"regression": "LinearRegression"}, scaled=True),
    "ridge": _Offer("linear_model", {"regression": "Ridge"}, scaled=True),
    "random_forest": _Offer(
        "ensemble", {"classification": "RandomForestClassifier", "regression": "RandomForestRegressor"}
    ),
    "gradient_boosting": _Offer(
        "ensemble",
        {"classification": "GradientBoostingClassifier", "regression": "GradientBoostingRegressor"},
    ),
    "hist_gradient_boosting": _Offer(
        "ensemble",
        {"classification": "HistGradientBoostingClassifier", "regression": "HistGradientBoostingRegressor"},
        takes_missing=True,
    ),
}


def types_for(task: Task) -> list[str]:
    """The estimator types that do `task`."""
    return [name for name, offer in _OFFERS.items() if task in offer.classes]


def hyperparameter_names(kind: str, task: Task) -> list[str]:
    """The hyperparameters of an estimator, by scikit-learn's names; `warm_start` is the trainer's own."""
    names = inspect.signature(_estimator_class(kind, task)).parameters
    return [name for name in names if name != "warm_start"]


def build_pipeline(
    kind: str, hyperparameters: Mapping[str, Scalar], *, task: Task, features: Sequence[Feature]
) -> Any:
    """An unfitted scikit-learn pipeline for the encoded matrix; seeded, so reproducible."""
    from sklearn.pipeline import Pipeline

    offer = _OFFERS[kind]
    cls = _estimator_class(kind, task)
    seeded = {"random_state": 0} if "random_state" in inspect.signature(cls).parameters else {}
    estimator = cls(**{**seeded, **hyperparameters})
    preparation = _preparation(features, offer)
    return Pipeline([*([("preparation", preparation)] if preparation else []), ("estimator", estimator)])


def _estimator_class(kind: str, task: Task) -> Any:
    offer = _OFFERS[kind]
    return getattr(importlib.import_module(f"sklearn.{offer.module}"), offer.classes[task])


def _preparation(features: Sequence[Feature], offer: _Offer) -> Any:
    """What stands before the estimator, or None where it takes the matrix as it is."""
    from sklearn.compose import ColumnTransformer

    numbers = [i for i, feature in enumerate(features) if feature.type != "category"]
    groups = {
        "whole": (_number_steps(offer, missing=False), [i for i in numbers if not features[i].missing]),
        "gappy": (_number_steps(offer, missing=True), [i for i in numbers if features[i].missing]),
        "category": (_category_steps(features), [i for i in range(len(features)) if i not in numbers]),
    }
    used = [(name, steps, columns) for name, (steps, columns) in groups.items() if columns]
    if all(steps == "passthrough" for _, steps, _ in used):
        return None
    return ColumnTransformer(used, sparse_threshold=0)


def _number_steps(offer: _Offer, *, missing: bool) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[Any] = []
    if missing and not offer.takes_missing:
        steps.append(SimpleImputer(strategy="median"))
    if offer.scaled:
        steps.append(StandardScaler())
    return make_pipeline(*steps) if steps else "passthrough"


def _category_steps(features: Sequence[Feature]) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    codes = [
        [*([_MISSING_CATEGORY] if feature.missing else []), *map(float, range(len(feature.categories)))]
        for feature in features
        if feature.type == "category"
    ]
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value=_MISSING_CATEGORY),
        # UNKNOWN is in no list: all of its indicators are 0.
        OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False),
    )
