"""ONNX Runtime answers as scikit-learn does, whatever the estimator and the data."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import AS_CLASSIFICATION, SHIPPED, encode, random_data, read_example
from threadpoolctl import threadpool_limits

from model_src.contract import Estimator, Model, Scalar, Task, read_model
from model_src.dataset import Dataset, encode_table, encode_training, read_table
from model_src.encoding import UNKNOWN, Feature
from model_src.errors import TrainingError
from model_src.estimator import build_pipeline, types_for
from model_src.export import export_pipeline, measure_parity
from model_src.graph import check_graph
from model_src.predictor import Predictor
from model_src.training import fit_artefact, fit_pipeline

# skl2onnx 1.20 hands booleans to an integer field; constraints.txt pins a protobuf that bears it.
pytestmark = pytest.mark.filterwarnings("ignore:Field onnx.AttributeProto:DeprecationWarning")

SMALL: dict[str, dict[str, Scalar]] = {
    "random_forest": {"n_estimators": 8},
    "gradient_boosting": {"n_estimators": 8},
    "hist_gradient_boosting": {"max_iter": 8, "min_samples_leaf": 5},
    "logistic_regression": {"max_iter": 500},
}


def fit(kind: str, task: Task, dataset: Dataset) -> Any:
    pipeline = build_pipeline(kind, SMALL.get(kind, {}), task=task, features=dataset.features)
    return pipeline.fit(dataset.matrix.astype(np.float64), dataset.target)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Dataset]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "regression": encode(folder, read_example(folder), random_data("regression")),
        "classification": encode(
            folder, read_example(folder, *AS_CLASSIFICATION), random_data("classification")
        ),
    }


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("linear_regression", "regression"),
        ("ridge", "regression"),
        ("random_forest", "regression"),
        ("gradient_boosting", "regression"),
        ("hist_gradient_boosting", "regression"),
        ("logistic_regression", "classification"),
        ("random_forest", "classification"),
        ("gradient_boosting", "classification"),
        ("hist_gradient_boosting", "classification"),
    ],
)
def test_every_estimator_has_parity_on_training_and_edge_rows(
    kind: str, task: Task, datasets: dict[Task, Dataset]
) -> None:
    dataset = datasets[task]
    pipeline = fit(kind, task, dataset)
    onnx = export_pipeline(pipeline, n_features=4, n_classes=len(dataset.classes))

    parity = measure_parity(
        pipeline, Predictor(onnx), task=task, matrix=dataset.matrix, features=dataset.features
    )

    assert parity.difference < 1e-5
    assert parity.rows > len(dataset.matrix) + 20


def shipped_fits() -> list[Any]:
    models = [read_model(folder) for folder in SHIPPED]
    return [pytest.param(m, kind, id=f"{m.name}-{kind}") for m in models for kind in types_for(m.task)]


@pytest.mark.parametrize(("model", "kind"), shipped_fits())
def test_every_estimator_has_parity_on_every_shipped_dataset(model: Model, kind: str) -> None:
    """Of the training and edge rows, and of the holdout, which the fit has not seen; what it is is served."""
    folder = next(folder for folder in SHIPPED if folder.name == model.name)
    columns = list(model.columns)
    dataset = encode_training(read_table([folder / "train.csv"], columns=columns), model)
    holdout = encode_table(
        read_table([folder / "holdout.csv"], columns=columns),
        model,
        features=dataset.features,
        classes=dataset.classes,
    )
    changed = replace(model, estimator=Estimator(kind, SMALL.get(kind, {})))
    with threadpool_limits(limits=1):
        pipeline = fit_pipeline(changed, dataset)
    onnx = export_pipeline(pipeline, n_features=len(dataset.features), n_classes=len(dataset.classes))
    predictor = Predictor(onnx)

    for matrix in (dataset.matrix, holdout.matrix):
        parity = measure_parity(
            pipeline, predictor, task=model.task, matrix=matrix, features=dataset.features
        )
        assert parity.difference <= model.gates.parity_tolerance
    check_graph(onnx)


@pytest.fixture(scope="module")
def forest(datasets: dict[Task, Dataset]) -> tuple[Any, Predictor]:
    pipeline = fit("gradient_boosting", "classification", datasets["classification"])
    return pipeline, Predictor(export_pipeline(pipeline, n_features=4, n_classes=3))


ROWS = st.tuples(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.one_of(st.just(float("nan")), st.integers(-10, 100).map(float)),
    st.sampled_from([float("nan"), 0.0, 1.0]),
    st.sampled_from([UNKNOWN, 0.0, 1.0, 2.0]),
)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=30))
def test_any_encoded_row_has_the_same_answer(
    rows: list[tuple[float, ...]], forest: tuple[Any, Predictor]
) -> None:
    pipeline, predictor = forest
    matrix = np.array(rows, dtype=np.float32)

    answers = predictor.predict(matrix)

    assert np.abs(answers - pipeline.predict_proba(matrix.astype(np.float64))).max() < 1e-5


def test_boosted_trees_agree_at_their_own_thresholds() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(300, 1)).astype(np.float32)
    features = [Feature("x", "number", missing=False)]
    options: dict[str, Scalar] = {"max_iter": 10}
    pipeline, untouched = (
        build_pipeline("hist_gradient_boosting", options, task="regression", features=features).fit(
            matrix.astype(np.float64), np.sin(matrix[:, 0] * 5)
        )
        for _ in range(2)
    )
    trees = [tree for trees in untouched.steps[-1][1]._predictors for tree in trees]
    thresholds = np.concatenate([tree.nodes["num_threshold"][tree.nodes["is_leaf"] == 0] for tree in trees])

    predictor = Predictor(export_pipeline(pipeline, n_features=1, n_classes=0))
    edges = thresholds.astype(np.float32).reshape(-1, 1)

    assert np.abs(predictor.predict(edges) - untouched.predict(edges.astype(np.float64))).max() < 1e-5


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    model = read_example(tmp_path)
    dataset = encode(tmp_path, model, random_data("regression"))

    first, second = (fit_artefact(model, dataset, commit="abc")[0] for _ in range(2))

    assert first == second


def test_an_estimator_that_refuses_is_quoted(tmp_path: Path) -> None:
    model = read_example(tmp_path, ("alpha: 0.1", "alpha: -1"))
    dataset = encode(tmp_path, model, random_data("regression"))

    with pytest.raises(TrainingError, match="ridge could not be fitted: InvalidParameterError: The 'alpha'"):
        fit_pipeline(model, dataset)


def test_runtime_reports_to_nobody() -> None:
    code = "import os, model_src.predictor; print(os.environ['ORT_DISABLE_TELEMETRY'])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})

    assert done.stdout.strip() == "1"
