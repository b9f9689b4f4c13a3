"""`train`: a dataset and a contract in, an ONNX model and its card out.

Flow 2 (dataset upload), after validation and before evaluation; SageMaker starts it as a training job.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from model_src import metrics
from model_src.artefact import Artefact, Card, write_artefact
from model_src.contract import Estimator, Model, read_model
from model_src.dataset import Dataset, encode_training, read_table
from model_src.environment import TrainingJob, base_folder, failure_file, read_training_job, variables
from model_src.errors import JobError, TrainingError
from model_src.estimator import build_pipeline, hyperparameter_names
from model_src.export import Parity, export_pipeline, measure_parity
from model_src.failure import run_job
from model_src.predictor import Predictor

_VERSIONED = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")


def main(model_folder: Path) -> int:
    """The exit code of a training job of the model in `model_folder`."""
    base = base_folder(os.environ)
    return run_job(lambda: run_training(model_folder, os.environ), reason_file=failure_file(base))


def run_training(model_folder: Path, environ: MutableMapping[str, str]) -> None:
    """One whole training job, from its folders to the model's; adds the SM_* variables to `environ`.

    Raises: ModelError with the reason to show.
    """
    job = read_training_job(environ)
    environ.update(variables(job, program="train"))
    if len(job.hosts) > 1:
        raise JobError(
            f"This trainer runs on one host; the job has {len(job.hosts)}: set InstanceCount to 1."
        )
    model = override(read_model(model_folder, names=hyperparameter_names), job.hyperparameters)
    dataset = read_dataset(job, model)
    artefact, summary = fit_artefact(model, dataset, commit=environ.get("COMMIT", ""))
    write_artefact(artefact, job.model)
    # In the form that a training job's metric definitions pick out of the log.
    print("; ".join(f"{name}={value:g}" for name, value in summary.items()), flush=True)  # noqa: T201


def override(model: Model, hyperparameters: Mapping[str, Any]) -> Model:
    """The model with a job's hyperparameters in the place of its own.

    Raises: JobError for one that its estimator does not have.
    """
    known = hyperparameter_names(model.estimator.type, model.task)
    for name in hyperparameters:
        if name not in known:
            raise JobError(
                f"{model.estimator.type} has no hyperparameter '{name}'; it has {', '.join(known)}."
            )
    merged = {**model.estimator.hyperparameters, **hyperparameters}
    return replace(model, estimator=Estimator(model.estimator.type, merged))


def read_dataset(job: TrainingJob, model: Model) -> Dataset:
    """The dataset of the channel `train`: all files in it, as one.

    Raises: DatasetError with file, line and column.
    """
    folder = job.channel("train")
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise JobError(f"The input channel 'train' is empty: there is no file in {folder}.")
    return encode_training(read_table(files, columns=list(model.columns)), model)


def fit_artefact(model: Model, dataset: Dataset, *, commit: str) -> tuple[Artefact, dict[str, float]]:
    """The trained model, and numbers about its training.

    Raises: TrainingError if the estimator refuses its hyperparameters or the data, or does not convert.
    """
    pipeline = fit_pipeline(model, dataset)
    onnx = export_pipeline(pipeline, n_features=len(dataset.features), n_classes=len(dataset.classes))
    predictor = Predictor(onnx)
    parity = measure_parity(
        pipeline, predictor, task=model.task, matrix=dataset.matrix, features=dataset.features
    )
    card = _card(model, dataset, parity, commit=commit)
    return Artefact(card, onnx), _summary(model, dataset, predictor, parity)


def fit_pipeline(model: Model, dataset: Dataset) -> Any:
    """The fitted scikit-learn pipeline. Raises: TrainingError with the estimator's own words."""
    kind = model.estimator.type
    # float64 of float32 values: the fit is exact, and sees what ONNX Runtime will see.
    matrix = dataset.matrix.astype(np.float64)
    target = dataset.target if model.task == "regression" else dataset.target.astype(np.int64)
    try:
        pipeline = build_pipeline(
            kind, model.estimator.hyperparameters, task=model.task, features=dataset.features
        )
        return pipeline.fit(matrix, target)
    except Exception as error:
        raise TrainingError(f"{kind} could not be fitted: {type(error).__name__}: {error}") from error


def _card(model: Model, dataset: Dataset, parity: Parity, *, commit: str) -> Card:
    origin = {
        "estimator": model.estimator.type,
        "hyperparameters": dict(model.estimator.hyperparameters),
        "dataset": {"sha256": dataset.sha256, "rows": len(dataset.target)},
        "parity_rows": parity.rows,
        "commit": commit,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}},
    }
    return Card(
        model=model.name,
        task=model.task,
        target=model.target.name,
        features=dataset.features,
        classes=dataset.classes,
        parity=parity.difference,
        origin=origin,
    )


def _summary(model: Model, dataset: Dataset, predictor: Predictor, parity: Parity) -> dict[str, float]:
    answers = predictor.predict(dataset.matrix).astype(np.float64)
    if model.task == "classification":
        measured = metrics.classification_metrics(dataset.target.astype(np.int64), answers)
    else:
        measured = metrics.regression_metrics(dataset.target, answers)
    training = {f"train_{name}": value for name, value in measured.items()}
    return {"rows": float(len(answers)), **training, "parity": parity.difference}
