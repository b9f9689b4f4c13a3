"""`evaluate`: a candidate, the champion and the frozen holdout in, metrics and gates out. ONNX Runtime only.

Flow 2 (dataset upload), between training and registration; SageMaker starts it as a processing job. A gate
that is not passed is a result, not a failure: the state machine's judge decides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_src import metrics
from model_src.archive import read_archive
from model_src.artefact import Artefact, Card
from model_src.comparison import compare, measure
from model_src.contract import Golden, Model, read_model
from model_src.dataset import Dataset, Table, encode_table, read_table
from model_src.encoding import CellError, Matrix, encode_values, to_matrix
from model_src.environment import base_folder, message_file
from model_src.errors import ArtefactError, DatasetError
from model_src.failure import run_job
from model_src.inspection import inspect_artefact
from model_src.judgement import Champion, Measurements, judge
from model_src.latency import median_latencies_ms
from model_src.metrics import Floats
from model_src.page import Page, render_page
from model_src.predictor import Predictor, load_predictor
from model_src.probe import measure_probe

REPORT_FILE = "evaluation.json"
PAGE_FILE = "report.html"


@dataclass(frozen=True)
class Incumbent:
    """The champion, as the pipeline put it beside the run: where it is from, and its model.

    `drift` is what validation measured between its training data and the candidate's.
    """

    artefact: Artefact
    run_id: str
    model_sha256: str
    drift: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """evaluation.json, and what its page needs beyond."""

    report: Mapping[str, Any]
    page: Page


@dataclass(frozen=True)
class _Asked:
    """A model that has answered the holdout; the answers are in the order of the candidate's classes."""

    predictor: Predictor
    matrix: Matrix
    answers: Floats


@dataclass(frozen=True)
class _Rival:
    """The champion beside the candidate: asked, or the reason why it could not be."""

    asked: _Asked | None = None
    reason: str | None = None


def main(model_folder: Path) -> int:
    """The exit code of a processing job that evaluates a candidate of the model in `model_folder`."""
    base = base_folder(os.environ)
    return run_job(lambda _: run_evaluation(model_folder, base), reason_file=message_file(base))


def run_evaluation(model_folder: Path, base: Path) -> None:
    """One whole processing job: reads the inputs' folders, writes evaluation.json and report.html.

    Raises: ModelError with the reason to show.
    """
    inputs = base / "processing" / "input"
    archive = inputs / "model" / "model.tar.gz"
    if not archive.is_file():
        raise ArtefactError(
            f"There is no {archive}: the job needs an input 'model' with a training job's output."
        )
    evaluation = evaluate(
        read_model(model_folder),
        read_archive(archive),
        holdout=inputs / "holdout" / "holdout.csv",
        champion=read_champion(inputs / "champion"),
    )
    report = {**evaluation.report, "model_sha256": _sha256(archive)}
    output = base / "processing" / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / PAGE_FILE).write_text(render_page(report, evaluation.page), encoding="utf-8")
    (output / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n")


def read_champion(folder: Path) -> Incumbent | None:
    """The champion in the job's input folder, or None where nothing is served yet.

    Raises: ArtefactError if the folder names a champion and does not hold it.
    """
    facts = folder / "champion.json"
    if not facts.is_file():
        return None
    try:
        value = json.loads(facts.read_bytes())
        run_id, sha256 = value["run_id"], value["model_sha256"]
        drift = tuple(value.get("drift", ()))
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{facts} does not say which model is the champion: {error}") from error
    if run_id is None:
        return None
    archive = folder / "model.tar.gz"
    if not archive.is_file():
        raise ArtefactError(f"There is no {archive}, which {facts.name} says is the champion {run_id}.")
    found = _sha256(archive)
    if found != sha256:
        raise ArtefactError(f"{archive} has sha256 {found}; {facts.name} says {sha256}.")
    return Incumbent(read_archive(archive), run_id, found, drift)


def evaluate(
    model: Model, artefact: Artefact, *, holdout: Path, champion: Incumbent | None = None
) -> Evaluation:
    """A candidate on the holdout: SageMaker's layout for model quality, the champion beside it, and gates.

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
    candidate = _Asked(predictor, dataset.matrix, predictor.predict(dataset.matrix).astype(np.float64))
    rival = _ask_champion(champion.artefact, model, card, table) if champion else None
    measured = _measurements(model, artefact, dataset, candidate, rival)
    report = {
        "model": model.name,
        "task": model.task,
        "rows": len(dataset.target),
        "holdout_sha256": dataset.sha256,
        **_quality(dataset, candidate.answers, measured),
        "parity": {"difference": measured.parity, "tolerance": model.gates.parity_tolerance},
        "latency": {"median_ms": measured.latency_ms},
        "size": {"bytes": measured.size_bytes},
        "champion": _champion_report(model, champion, measured.champion),
        "gates": [asdict(gate) for gate in judge(model.gates, measured)],
    }
    rival_answers = rival.asked.answers if rival and rival.asked else None
    page = Page(dataset, candidate.answers, rival_answers, champion.drift if champion else ())
    return Evaluation(report, page)


def _measurements(
    model: Model, artefact: Artefact, dataset: Dataset, candidate: _Asked, rival: _Rival | None
) -> Measurements:
    asked = [candidate, *([rival.asked] if rival and rival.asked else [])]
    latencies = median_latencies_ms([one.predictor for one in asked], [one.matrix[:1] for one in asked])
    card = artefact.card
    return Measurements(
        metrics=measure(dataset.target, candidate.answers),
        classes=_class_quality(dataset, candidate.answers),
        parity=max(card.parity, measure_probe(card, candidate.predictor)),
        golden=[_golden_problem(golden, card, candidate.predictor) for golden in model.golden],
        latency_ms=latencies[0],
        size_bytes=len(artefact.onnx),
        champion=None if rival is None else _beside(model, dataset, candidate, rival, latencies[1:]),
    )


def _ask_champion(artefact: Artefact, model: Model, card: Card, table: Table) -> _Rival:
    """The champion's answers to the candidate's questions, in the encoding of its own card."""
    own = artefact.card
    if set(own.classes) != set(card.classes):
        return _Rival(reason=f"its classes are {', '.join(map(str, own.classes)) or 'none'}")
    absent = [feature.name for feature in own.features if feature.name not in model.columns]
    if absent:
        return _Rival(reason=f"it needs {', '.join(absent)}, which the holdout does not have")
    try:
        dataset = encode_table(table, model, features=own.features, classes=own.classes)
    except DatasetError as error:
        return _Rival(reason=str(error))
    inspect_artefact(artefact)
    predictor = load_predictor(artefact)
    answers = predictor.predict(dataset.matrix).astype(np.float64)
    if card.classes:
        answers = answers[:, [own.classes.index(label) for label in card.classes]]
    return _Rival(_Asked(predictor, dataset.matrix, answers))


def _beside(
    model: Model, dataset: Dataset, candidate: _Asked, rival: _Rival, latencies: list[float]
) -> Champion:
    if rival.asked is None:
        return Champion(incomparable=rival.reason)
    rule = model.gates.champion
    comparisons = compare(
        dataset.target,
        candidate.answers,
        rival.asked.answers,
        names=list(rule.max_losses),
        confidence=rule.confidence,
    )
    return Champion(comparisons, latency_ms=latencies[0])


def _champion_report(
    model: Model, champion: Incumbent | None, beside: Champion | None
) -> dict[str, Any] | None:
    if champion is None or beside is None:
        return None
    return {
        "run_id": champion.run_id,
        "model_sha256": champion.model_sha256,
        "method": "paired bootstrap over the holdout's rows, percentile interval",
        "confidence": model.gates.champion.confidence,
        "incomparable": beside.incomparable,
        "comparisons": [asdict(comparison) for comparison in beside.comparisons],
        "latency_ms": beside.latency_ms,
        "drift": list(champion.drift),
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


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


def _quality(dataset: Dataset, answers: Floats, measured: Measurements) -> dict[str, Any]:
    """SageMaker's group of metrics, each with its standard deviation over resamples of the holdout."""
    samples = [measure(dataset.target[rows], answers[rows]) for rows in metrics.resamples(len(answers))]
    group: dict[str, Any] = {
        name: {"value": value, "standard_deviation": float(np.std([sample[name] for sample in samples]))}
        for name, value in measured.metrics.items()
    }
    if not dataset.classes:
        return {"regression_metrics": group}
    labels = [str(label) for label in dataset.classes]
    group["confusion_matrix"] = {
        label: dict(zip(labels, map(int, row), strict=True))
        for label, row in zip(labels, _confusion(dataset, answers), strict=True)
    }
    return {"multiclass_classification_metrics": group, "classes": measured.classes}


def _class_quality(dataset: Dataset, answers: Floats) -> dict[str, dict[str, float]]:
    """Recall, precision and number of rows by class; nothing for a regression."""
    if not dataset.classes:
        return {}
    confusion = _confusion(dataset, answers)
    recalls, precisions = metrics.class_recalls(confusion), metrics.class_precisions(confusion)
    return {
        str(label): {
            "recall": float(recalls[i]),
            "precision": float(precisions[i]),
            "rows": int(confusion[i].sum()),
        }
        for i, label in enumerate(dataset.classes)
    }


def _confusion(dataset: Dataset, answers: Floats) -> metrics.Ints:
    actual = dataset.target.astype(np.int64)
    return metrics.confusion_matrix(actual, answers.argmax(axis=1), n_classes=len(dataset.classes))


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
