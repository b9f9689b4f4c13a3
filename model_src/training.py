"""`train`: a dataset and a contract in, an ONNX model and its card out.

Flow 2 (dataset upload), after validation and before evaluation; SageMaker starts it as a training job.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from model_src import metrics
from model_src.artefact import Artefact, Card, write_artefact
from model_src.checkpoint import Arrays, Checkpoints
from model_src.contract import Estimator, Model, read_model
from model_src.dataset import Dataset, Table, encode_table, encode_training, read_table
from model_src.ensemble import StateError, fit_in_stages, iterations_of
from model_src.environment import TrainingJob, base_folder, failure_file, read_training_job, variables
from model_src.errors import JobError, ModelError, TrainingError
from model_src.estimator import build_pipeline, hyperparameter_names
from model_src.export import Parity, ask_pipeline, export_pipeline, measure_parity
from model_src.failure import Interruption, run_job
from model_src.predictor import Predictor
from model_src.probe import make_probe

TRAIN_CHANNEL = "train"
VALIDATION_CHANNEL = "validation"
METRICS_FILE = "metrics.json"
_VERSIONED = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")


def main(model_folder: Path) -> int:
    """The exit code of a training job of the model in `model_folder`."""
    base = base_folder(os.environ)
    return run_job(
        lambda interruption: run_training(model_folder, os.environ, interruption),
        reason_file=failure_file(base),
    )


def run_training(
    model_folder: Path, environ: MutableMapping[str, str], interruption: Interruption | None = None
) -> None:
    """One whole training job, from its folders to the model's; adds the SM_* variables to `environ`.

    Raises: ModelError with the reason to show.
    """
    job = read_training_job(environ)
    environ.update(variables(job, program="train"))
    check_job(job)
    model = override(read_model(model_folder, names=hyperparameter_names), job.hyperparameters)
    dataset = read_dataset(job, model)
    commit = environ.get("COMMIT", "")
    checkpoints = None
    if interruption and job.checkpoints.is_dir():
        mark = fingerprint(model, dataset, commit=commit)
        checkpoints = Checkpoints(job.checkpoints, mark, interruption, log=_log)
    _log(f"{len(dataset.matrix)} rows are read; fitting {model.estimator.type} ...")
    artefact, summary = fit_artefact(model, dataset, commit=commit, checkpoints=checkpoints)
    summary |= measure_validation(job, model, artefact)
    write_artefact(artefact, job.model)
    job.output_data.mkdir(parents=True, exist_ok=True)
    (job.output_data / METRICS_FILE).write_text(json.dumps(summary, indent=2) + "\n")
    # In the form that a training job's metric definitions pick out of the log.
    _log("; ".join(f"{name}={value:g}" for name, value in summary.items()))


def check_job(job: TrainingJob) -> None:
    """Nothing, for a job that this trainer can do. Raises: JobError that says what to change."""
    if len(job.hosts) > 1:
        raise JobError(
            f"This trainer runs on one host; the job has {len(job.hosts)}: set InstanceCount to 1."
        )
    for name, channel in job.inputs.items():
        if channel.get("TrainingInputMode", "File") == "Pipe":
            raise JobError(f"The channel '{name}' is in Pipe mode; use File or FastFile.")
        if channel.get("RecordWrapperType") not in (None, "", "None"):
            raise JobError(f"The channel '{name}' is wrapped as {channel['RecordWrapperType']}; send CSV.")
        if not _is_csv(channel.get("ContentType")):
            raise JobError(f"The channel '{name}' is {channel['ContentType']}; this trainer reads text/csv.")


def _is_csv(content_type: object) -> bool:
    """Whether a channel is CSV in UTF-8, or says nothing of what it is."""
    kind, *parameters = (part.strip().lower() for part in str(content_type or "").split(";"))
    return kind in ("", "text/csv", "application/csv") and all(
        parameter.replace('"', "") in ("", "charset=utf-8", "charset=us-ascii")
        for parameter in parameters
        if parameter.startswith("charset=")
    )


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
    return encode_training(_read_channel(job, TRAIN_CHANNEL, model), model)


def measure_validation(job: TrainingJob, model: Model, artefact: Artefact) -> dict[str, float]:
    """The metrics on the channel `validation`, where the job has one; for people, and for tuning jobs.

    Raises: DatasetError with file, line and column.
    """
    if VALIDATION_CHANNEL not in job.channels:
        return {}
    card = artefact.card
    table = _read_channel(job, VALIDATION_CHANNEL, model)
    dataset = encode_table(table, model, features=card.features, classes=card.classes)
    answers = Predictor(artefact.onnx).predict(dataset.matrix).astype(np.float64)
    return _measure(dataset, answers, prefix="validation")


def _read_channel(job: TrainingJob, name: str, model: Model) -> Table:
    folder = job.channel(name)
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise JobError(f"The input channel '{name}' is empty: there is no file in {folder}.")
    return read_table(files, columns=list(model.columns))


def fingerprint(model: Model, dataset: Dataset, *, commit: str) -> str:
    """A name for everything that decides what a training results in."""
    parts = {
        "commit": commit,
        "estimator": model.estimator.type,
        "hyperparameters": dict(model.estimator.hyperparameters),
        "task": model.task,
        "features": [feature.to_json() for feature in dataset.features],
        "classes": dataset.classes,
        "dataset": dataset.sha256,
        "versions": _versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fit_artefact(
    model: Model, dataset: Dataset, *, commit: str, checkpoints: Checkpoints | None = None
) -> tuple[Artefact, dict[str, float]]:
    """The trained model, and numbers about its training.

    Raises: TrainingError if the estimator refuses its hyperparameters or the data, or does not convert.
    """
    pipeline = fit_pipeline(model, dataset, checkpoints)
    onnx = export_pipeline(pipeline, n_features=len(dataset.features), n_classes=len(dataset.classes))
    predictor = Predictor(onnx)
    parity = measure_parity(
        pipeline, predictor, task=model.task, matrix=dataset.matrix, features=dataset.features
    )
    probe = make_probe(dataset.matrix, lambda rows: ask_pipeline(pipeline, rows, task=model.task))
    card = _card(model, dataset, parity, probe=probe, commit=commit)
    return Artefact(card, onnx), _summary(dataset, predictor, parity)


def fit_pipeline(model: Model, dataset: Dataset, checkpoints: Checkpoints | None = None) -> Any:
    """The fitted scikit-learn pipeline, from the checkpoint on where there is one.

    Raises: TrainingError with the estimator's own words; StoppedError after an interruption.
    """
    try:
        return _fit_pipeline(model, dataset, checkpoints)
    except StateError as error:
        _log(f"The checkpoint cannot be used ({error}); training begins anew.")
        return _fit_pipeline(model, dataset, checkpoints, resume=False)


def _fit_pipeline(
    model: Model, dataset: Dataset, checkpoints: Checkpoints | None, *, resume: bool = True
) -> Any:
    kind = model.estimator.type
    # float64 of float32 values: the fit is exact, and sees what ONNX Runtime will see.
    matrix = dataset.matrix.astype(np.float64)
    target = dataset.target if model.task == "regression" else dataset.target.astype(np.int64)
    try:
        pipeline = build_pipeline(
            kind, model.estimator.hyperparameters, task=model.task, features=dataset.features
        )
        estimator = pipeline.steps[-1][1]
        total = iterations_of(kind, estimator)
        if total is None:
            return pipeline.fit(matrix, target)
        done = checkpoints.resume() if checkpoints and resume else None
        for _, preparation in pipeline.steps[:-1]:
            matrix = preparation.fit_transform(matrix)

        def after_stage(iterations: int, state: Callable[[], Arrays]) -> None:
            if checkpoints:
                checkpoints.stage_done(iterations, total, state)

        fit_in_stages(
            kind,
            estimator,
            (matrix, target),
            done=(done.iterations, done.arrays) if done else None,
            after_stage=after_stage,
        )
        return pipeline
    except (ModelError, StateError):
        raise
    except Exception as error:
        raise TrainingError(f"{kind} could not be fitted: {type(error).__name__}: {error}") from error


def _card(model: Model, dataset: Dataset, parity: Parity, *, probe: Mapping[str, Any], commit: str) -> Card:
    origin = {
        "estimator": model.estimator.type,
        "hyperparameters": dict(model.estimator.hyperparameters),
        "dataset": {"sha256": dataset.sha256, "rows": len(dataset.target)},
        "parity_rows": parity.rows,
        "probe": probe,
        "commit": commit,
        "versions": _versions(),
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


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}}


def _summary(dataset: Dataset, predictor: Predictor, parity: Parity) -> dict[str, float]:
    answers = predictor.predict(dataset.matrix).astype(np.float64)
    measured = _measure(dataset, answers, prefix="train")
    return {"rows": float(len(answers)), **measured, "parity": parity.difference}


def _measure(dataset: Dataset, answers: metrics.Floats, *, prefix: str) -> dict[str, float]:
    if dataset.classes:
        measured = metrics.classification_metrics(dataset.target.astype(np.int64), answers)
    else:
        measured = metrics.regression_metrics(dataset.target, answers)
    return {f"{prefix}_{name}": value for name, value in measured.items()}


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a job's log is its standard output
