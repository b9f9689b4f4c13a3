"""`evaluate`: a candidate and the frozen holdout in, its metrics and gates out. ONNX Runtime only.

Flow 2 (dataset upload), between training and registration; SageMaker starts it as a processing job. A gate
that is not passed is a result, not a failure: the state machine's judge decides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_src import metrics
from model_src.archive import read_archive
from model_src.artefact import Artefact, Card
from model_src.contract import Bound, Gates, Golden, Model, read_model
from model_src.dataset import Dataset, encode_table, read_table
from model_src.encoding import CellError, encode_values, to_matrix
from model_src.environment import base_folder, message_file
from model_src.errors import ArtefactError
from model_src.failure import run_job
from model_src.inspection import inspect_artefact
from model_src.metrics import Floats
from model_src.predictor import Predictor, load_predictor


@dataclass(frozen=True)
class Gate:
    """One thing a candidate had to reach. `bound` is the floor or the ceiling, in the value's unit."""

    name: str
    value: float
    bound: float
    passed: bool
    message: str


def main(model_folder: Path) -> int:
    """The exit code of a processing job that evaluates a candidate of the model in `model_folder`."""
    base = base_folder(os.environ)
    return run_job(lambda _: run_evaluation(model_folder, base), reason_file=message_file(base))


def run_evaluation(model_folder: Path, base: Path) -> None:
    """One whole processing job: reads the inputs' folders, writes evaluation.json.

    Raises: ModelError with the reason to show.
    """
    inputs = base / "processing" / "input"
    archive = inputs / "model" / "model.tar.gz"
    if not archive.is_file():
        raise ArtefactError(
            f"There is no {archive}: the job needs an input 'model' with a training job's output."
        )
    artefact = read_archive(archive)
    report = evaluate(read_model(model_folder), artefact, holdout=inputs / "holdout" / "holdout.csv")
    report["model_sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    output = base / "processing" / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")


def evaluate(model: Model, artefact: Artefact, *, holdout: Path) -> dict[str, Any]:
    """The report of a candidate on the holdout: SageMaker's layout for model quality, and gates.

    Raises: ArtefactError if the candidate is another model's, DatasetError for a holdout out of contract.
    """
    card = artefact.card
    _check_card(card, model)
    if not holdout.is_file():
        raise ArtefactError(f"There is no {holdout}: the job needs an input 'holdout' with holdout.csv.")
    table = read_table([holdout], columns=list(model.columns))
    dataset = encode_table(table, model, features=card.features, classes=card.classes)
    inspect_artefact(artefact)
    predictor = load_predictor(artefact)
    answers = predictor.predict(dataset.matrix).astype(np.float64)
    measured = _measure(dataset, answers)
    golden = [_golden_problem(golden, card, predictor) for golden in model.golden]
    return {
        "model": model.name,
        "task": model.task,
        "rows": len(dataset.target),
        "holdout_sha256": dataset.sha256,
        **_quality(dataset, answers, measured),
        "parity": {"difference": card.parity, "tolerance": model.gates.parity_tolerance},
        "gates": [asdict(gate) for gate in judge(model.gates, measured, parity=card.parity, golden=golden)],
    }


def judge(
    gates: Gates, measured: Mapping[str, float], *, parity: float, golden: Sequence[str | None]
) -> list[Gate]:
    """Every gate with its outcome. `golden` holds what is wrong with each golden answer, if anything."""
    wrong = [problem for problem in golden if problem]
    return [
        *(_metric_gate(bound, measured[bound.metric]) for bound in gates.metrics),
        Gate(
            name="parity",
            value=parity,
            bound=gates.parity_tolerance,
            passed=parity <= gates.parity_tolerance,
            message=f"ONNX Runtime is {parity:.3g} off scikit-learn; {gates.parity_tolerance:g} is allowed",
        ),
        Gate(
            name="golden",
            value=float(len(wrong)),
            bound=0.0,
            passed=not wrong,
            message="; ".join(wrong) or f"all {len(golden)} golden requests are answered as expected",
        ),
    ]


def _metric_gate(bound: Bound, value: float) -> Gate:
    passed = value >= bound.value if bound.kind == "min" else value <= bound.value
    word = "floor" if bound.kind == "min" else "ceiling"
    verb = "keeps" if passed else "breaks"
    message = f"{bound.metric} {value:.4g} {verb} the {word} {bound.value:g}"
    return Gate(bound.metric, value, bound.value, passed, message)


def _check_card(card: Card, model: Model) -> None:
    trained = [(feature.name, feature.type) for feature in card.features]
    wanted = [(column.name, column.type) for column in model.features]
    if (card.model, card.task, card.target) != (model.name, model.task, model.target.name):
        raise ArtefactError(
            f"The candidate is a {card.task} '{card.model}'; the job evaluates '{model.name}'."
        )
    if trained != wanted:
        raise ArtefactError(
            "The candidate's features are not those of the contract: it was trained by another image."
        )


def _measure(dataset: Dataset, answers: Floats) -> dict[str, float]:
    if dataset.classes:
        return metrics.classification_metrics(dataset.target.astype(np.int64), answers)
    return metrics.regression_metrics(dataset.target, answers)


def _quality(dataset: Dataset, answers: Floats, measured: Mapping[str, float]) -> dict[str, Any]:
    """SageMaker's group of metrics, each with its standard deviation over resamples of the holdout."""
    samples = [_measure_rows(dataset, answers, rows) for rows in metrics.resamples(len(answers))]
    group: dict[str, Any] = {
        name: {"value": value, "standard_deviation": float(np.std([sample[name] for sample in samples]))}
        for name, value in measured.items()
    }
    if not dataset.classes:
        return {"regression_metrics": group}
    labels = [str(label) for label in dataset.classes]
    actual = dataset.target.astype(np.int64)
    confusion = metrics.confusion_matrix(actual, answers.argmax(axis=1), n_classes=len(labels))
    recalls, precisions = metrics.class_recalls(confusion), metrics.class_precisions(confusion)
    group["confusion_matrix"] = {
        label: dict(zip(labels, map(int, row), strict=True))
        for label, row in zip(labels, confusion, strict=True)
    }
    classes = {
        label: {
            "recall": float(recalls[i]),
            "precision": float(precisions[i]),
            "rows": int(confusion[i].sum()),
        }
        for i, label in enumerate(labels)
    }
    return {"multiclass_classification_metrics": group, "classes": classes}


def _measure_rows(dataset: Dataset, answers: Floats, rows: metrics.Ints) -> dict[str, float]:
    if dataset.classes:
        return metrics.classification_metrics(dataset.target[rows].astype(np.int64), answers[rows])
    return metrics.regression_metrics(dataset.target[rows], answers[rows])


def _golden_problem(golden: Golden, card: Card, predictor: Predictor) -> str | None:
    """What is wrong with the model's answer to a golden request."""
    try:
        matrix = to_matrix(
            encode_values(feature, [golden.instance.get(feature.name)]) for feature in card.features
        )
    except CellError as error:
        return f"{dict(golden.instance)} cannot be asked: {error}"
    answer = predictor.predict(matrix)[0]
    if golden.value is not None:
        near = abs(float(answer) - golden.value) <= golden.tolerance
        return (
            None if near else f"{dict(golden.instance)} is answered {float(answer):g}, not {golden.value:g}"
        )
    label = card.classes[int(answer.argmax())]
    return (
        None if label == golden.label else f"{dict(golden.instance)} is answered {label}, not {golden.label}"
    )
