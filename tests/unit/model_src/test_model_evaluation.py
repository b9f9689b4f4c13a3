"""Evaluation: metrics that equal scikit-learn's, gates that say why, candidates that are refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_examples import (
    AS_CLASSIFICATION,
    CONTRACT,
    changed,
    encode,
    random_data,
    read_example,
    write_contract,
)
from sklearn import metrics as reference

from model_src.archive import read_archive
from model_src.artefact import CARD_FILE, ONNX_FILE, Artefact, read_artefact, write_artefact
from model_src.contract import Bound, Gates, Model
from model_src.errors import ArtefactError
from model_src.evaluation import evaluate, run_evaluation
from model_src.judgement import Measurements, judge
from model_src.metrics import classification_metrics, regression_metrics
from model_src.predictor import Predictor
from model_src.training import fit_artefact

FLOOR = Gates((Bound("accuracy", "min", 0.9),), parity_tolerance=1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Artefact]:
    folder = tmp_path_factory.mktemp("trained")
    model = read_example(folder, *AS_CLASSIFICATION)
    dataset = encode(folder, model, random_data("classification"))
    return model, fit_artefact(model, dataset, commit="abc")[0]


@pytest.fixture
def holdout(tmp_path: Path) -> Path:
    file = tmp_path / "holdout.csv"
    file.write_text(random_data("classification", n_rows=60, seed=1))
    return file


def measured(values: dict[str, float], **facts: Any) -> Measurements:
    given = {"parity": 0.0, "golden": [], "latency_ms": 0.1, "size_bytes": 1000, **facts}
    return Measurements(metrics=values, **given)


def pack(archive: Path, files: dict[str, bytes]) -> Path:
    folder = archive.parent / "unpacked"
    folder.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            (folder / "file").write_bytes(content)
            tar.add(folder / "file", arcname=name)
    return archive


def test_classification_metrics_equal_scikit_learns() -> None:
    random = np.random.default_rng(0)
    actual = random.integers(0, 3, size=200)
    probabilities = random.dirichlet(np.ones(3), size=200)
    predicted = probabilities.argmax(axis=1)

    measured = classification_metrics(actual, probabilities)

    recalls = reference.recall_score(actual, predicted, average=None)
    assert measured == pytest.approx(
        {
            "accuracy": reference.accuracy_score(actual, predicted),
            "weighted_precision": reference.precision_score(actual, predicted, average="weighted"),
            "weighted_recall": reference.recall_score(actual, predicted, average="weighted"),
            "weighted_f1": reference.f1_score(actual, predicted, average="weighted"),
            "macro_recall": reference.balanced_accuracy_score(actual, predicted),
            "macro_f1": reference.f1_score(actual, predicted, average="macro"),
            "lowest_class_recall": recalls.min(),
            "log_loss": reference.log_loss(actual, probabilities),
        }
    )


def test_regression_metrics_equal_scikit_learns() -> None:
    random = np.random.default_rng(0)
    actual, predicted = random.normal(size=(2, 100))

    measured = regression_metrics(actual, predicted)

    assert measured == pytest.approx(
        {
            "mae": reference.mean_absolute_error(actual, predicted),
            "mse": reference.mean_squared_error(actual, predicted),
            "rmse": reference.root_mean_squared_error(actual, predicted),
            "r2": reference.r2_score(actual, predicted),
        }
    )


def test_the_report_has_sagemakers_layout_and_the_gates(
    trained: tuple[Model, Artefact], holdout: Path
) -> None:
    model, artefact = trained

    report = evaluate(model, artefact, holdout=holdout).report

    json.dumps(report, allow_nan=False)
    group = report["multiclass_classification_metrics"]
    assert group["accuracy"].keys() == {"value", "standard_deviation"}
    assert group["confusion_matrix"].keys() == {"low", "mid", "high"}
    assert report["classes"]["low"].keys() == {"recall", "precision", "rows"}
    assert report["rows"] == 60
    assert [gate["name"] for gate in report["gates"]] == ["accuracy", "parity", "golden"]
    assert all(gate["passed"] for gate in report["gates"])


@pytest.mark.parametrize(
    ("accuracy", "parity", "golden", "failed", "message"),
    [
        (0.9, 1e-4, [None], None, ""),
        (0.899, 1e-4, [None], "accuracy", "accuracy 0.899 breaks the floor 0.9"),
        (0.95, 2e-4, [None], "parity", "ONNX Runtime is 0.0002 off scikit-learn; 0.0001 is allowed"),
        (0.95, 0.0, [None, "it is answered a, not b"], "golden", "it is answered a, not b"),
        (float("nan"), 0.0, [None], "accuracy", "accuracy nan breaks the floor 0.9"),
    ],
)
def test_a_gate_that_is_not_kept_says_so(
    accuracy: float, parity: float, golden: list[str | None], failed: str | None, message: str
) -> None:
    gates = judge(FLOOR, measured({"accuracy": accuracy}, parity=parity, golden=golden))

    assert [(gate.name, gate.message) for gate in gates if not gate.passed] == (
        [(failed, message)] if failed else []
    )


def test_a_ceiling_is_kept_from_below() -> None:
    gates = Gates((Bound("rmse", "max", 10.0),), parity_tolerance=1e-4)

    assert judge(gates, measured({"rmse": 10.0}))[0].passed
    assert not judge(gates, measured({"rmse": 10.1}))[0].passed


def test_a_wrong_golden_answer_is_a_gate_not_a_crash(trained: tuple[Model, Artefact], holdout: Path) -> None:
    model, artefact = trained
    wrong = replace(model, golden=(replace(model.golden[0], label="high"),))

    gate = evaluate(wrong, artefact, holdout=holdout).report["gates"][-1]

    assert (gate["name"], gate["passed"], gate["value"]) == ("golden", False, 1.0)
    assert "is answered low, not high" in gate["message"]


def test_another_models_artefact_is_refused(trained: tuple[Model, Artefact], holdout: Path) -> None:
    model, artefact = trained

    with pytest.raises(ArtefactError, match="the job evaluates 'house'"):
        evaluate(replace(model, name="house"), artefact, holdout=holdout)


def test_a_processing_job_reads_and_writes_sagemakers_folders(
    tmp_path: Path, trained: tuple[Model, Artefact], holdout: Path
) -> None:
    inputs = tmp_path / "processing" / "input"
    write_artefact(trained[1], tmp_path / "model")
    files = {name: (tmp_path / "model" / name).read_bytes() for name in (CARD_FILE, ONNX_FILE)}
    (inputs / "model").mkdir(parents=True)
    (inputs / "holdout").mkdir()
    archive = pack(inputs / "model" / "model.tar.gz", files)
    holdout.rename(inputs / "holdout" / "holdout.csv")

    run_evaluation(write_contract(tmp_path, changed(CONTRACT, *AS_CLASSIFICATION)), tmp_path)

    report = json.loads((tmp_path / "processing" / "output" / "evaluation.json").read_text())
    assert report["model_sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert report["model"] == "flat"


WITHOUT_TRAINING_LIBRARIES = """
import runpy, sys
for name in ("sklearn", "skl2onnx", "onnx", "scipy", "pandas", "joblib"):
    sys.modules[name] = None  # importing it is an ImportError from here on
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_the_program_evaluates_without_any_training_library(
    tmp_path: Path, trained: tuple[Model, Artefact], holdout: Path
) -> None:
    """The slim serving image has none."""
    root = Path(__file__).parents[3]
    program, inputs = tmp_path / "program", tmp_path / "ml" / "processing" / "input"
    program.mkdir()
    (program / "evaluate").write_text((root / "container" / "evaluate").read_text())
    write_contract(tmp_path, changed(CONTRACT, *AS_CLASSIFICATION)).rename(program / "model")
    write_artefact(trained[1], tmp_path / "model")
    (inputs / "holdout").mkdir(parents=True)
    (inputs / "model").mkdir()
    pack(
        inputs / "model" / "model.tar.gz",
        {name: (tmp_path / "model" / name).read_bytes() for name in (CARD_FILE, ONNX_FILE)},
    )
    holdout.rename(inputs / "holdout" / "holdout.csv")
    environ = {"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "PYTHONPATH": str(root)}

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRAINING_LIBRARIES, str(program / "evaluate")],
        env=environ,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ml" / "processing" / "output" / "evaluation.json").is_file()


def test_an_artefact_survives_files_and_archive(tmp_path: Path, trained: tuple[Model, Artefact]) -> None:
    _, artefact = trained
    write_artefact(artefact, tmp_path / "model")
    files = {f"./{name}": (tmp_path / "model" / name).read_bytes() for name in (CARD_FILE, ONNX_FILE)}

    assert read_artefact(tmp_path / "model") == artefact
    assert read_archive(pack(tmp_path / "model.tar.gz", files)) == artefact


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.json": b"{}"}, "holds no model.onnx"),
        ({"model.json": b"[]", "model.onnx": b""}, "is not a model's card"),
        ({"model.json": b"[" * 50_000, "model.onnx": b""}, "is not a model's card"),
        ({"model.json": b'{"format": 2}', "model.onnx": b""}, "this image reads format 1"),
        ({"sub/model.json": b"{}", "sub/model.onnx": b""}, "holds no model.json and no model.onnx"),
        ({"padding": b"0" * 200_000, "model.json": b"{}"}, "unpacks to more than 100000 bytes"),
    ],
)
def test_a_wrong_archive_is_refused(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    archive = pack(tmp_path / "model.tar.gz", files)

    with pytest.raises(ArtefactError, match=message):
        read_archive(archive, max_bytes=100_000)


def test_what_is_no_archive_or_no_onnx_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.tar.gz"
    file.write_bytes(b"pickle")

    with pytest.raises(ArtefactError, match="is not a readable archive"):
        read_archive(file)
    with pytest.raises(ArtefactError, match="ONNX Runtime cannot load the model"):
        Predictor(b"not onnx")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"There is no .*/processing/input/model/model.tar.gz"):
        run_evaluation(tmp_path, tmp_path)
