"""A run's model made again from its lineage; each way in which that cannot be done."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lambda_fakes import FakeS3

from pipeline.conformance.processes import ProcessRuntime
from pipeline.errors import RunError, UsageError
from pipeline.reproduction import (
    Recipe,
    Trained,
    check_comparison,
    compare_models,
    fetch_dataset,
    fetch_model,
    open_image,
    read_recipe,
    train_again,
)
from pipeline.settings import read_settings

DATASET = b"length,species\n1,cat\n"
CARD: dict[str, Any] = {"probe": {"rows": [[1.0], [None]], "answers": [[0.2, 0.8], [0.5, 0.5]]}}
RECIPE = Recipe(
    run_id="iris-1",
    bucket="data",
    key="datasets/iris/a.csv",
    version_id="v",
    dataset_sha256=hashlib.sha256(DATASET).hexdigest(),
    training_image_digest="sha256:" + "1" * 64,
    commit="0123abc",
    model_uri="s3://models/runs/iris-1/training/iris-1/output/model.tar.gz",
    model_sha256="",
)
COPYING = """
import json, os, pathlib
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
data = (base / "input/data/train/data.csv").read_bytes()
assert json.loads((base / "input/config/hyperparameters.json").read_text()) == {}
(base / "model/model.onnx").write_bytes(data + os.environ["FLAVOUR"].encode())
(base / "model/model.json").write_text(json.dumps({"probe": {"rows": [], "answers": []}}))
"""
FAILING = """
import os, pathlib
output = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output"
output.mkdir(exist_ok=True)
(output / "failure").write_text("no such column")
raise SystemExit(1)
"""


class FakeSageMaker:
    def describe_model_package(self, **_: str) -> dict[str, Any]:
        told = {
            "dataset_version_id": "v",
            "dataset_sha256": RECIPE.dataset_sha256,
            "training_image_digest": RECIPE.training_image_digest,
            "commit": RECIPE.commit,
            "model_sha256": "aa",
        }
        return {"CustomerMetadataProperties": told}


def archive(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def runtime(folder: Path, program: str) -> ProcessRuntime:
    folder.mkdir()
    (folder / "train").write_text(f"#!/usr/bin/env python3\n{program}")
    return ProcessRuntime(folder)


def moved(answers: list[list[float]]) -> Trained:
    return Trained(b"other", {"probe": {**CARD["probe"], "answers": answers}})


def test_the_recipe_is_what_the_registry_recorded() -> None:
    run = {
        "run_id": "iris-1",
        "model_package_arn": "arn",
        "bucket": "data",
        "key": RECIPE.key,
        "model_uri": RECIPE.model_uri,
    }

    assert read_recipe(run, sagemaker=FakeSageMaker()) == replace(RECIPE, model_sha256="aa")


def test_a_run_that_registered_nothing_has_no_recipe() -> None:
    run = {"run_id": "iris-1", "status": "RejectedByGates"}

    with pytest.raises(UsageError, match="iris-1 is RejectedByGates: it registered no model"):
        read_recipe(run, sagemaker=FakeSageMaker())


def test_the_dataset_is_the_version_that_was_validated(tmp_path: Path) -> None:
    s3 = FakeS3()
    version_id = s3.put_object(Bucket="data", Key=RECIPE.key, Body=DATASET)["VersionId"]
    s3.put_object(Bucket="data", Key=RECIPE.key, Body=b"newer")
    recipe = replace(RECIPE, version_id=version_id)

    assert fetch_dataset(recipe, tmp_path, s3=s3).read_bytes() == DATASET
    with pytest.raises(RunError, match="trained on 0000"):
        fetch_dataset(replace(recipe, dataset_sha256="0000"), tmp_path, s3=s3)


def test_the_model_is_the_one_that_was_judged(tmp_path: Path) -> None:
    s3 = FakeS3()
    content = archive({"model.onnx": b"onnx", "model.json": json.dumps(CARD).encode(), "../x": b""})
    s3.put_object(Bucket="models", Key=RECIPE.model_uri.removeprefix("s3://models/"), Body=content)
    recipe = replace(RECIPE, model_sha256=hashlib.sha256(content).hexdigest())

    assert fetch_model(recipe, tmp_path, s3=s3) == Trained(b"onnx", CARD)
    assert [file.name for file in tmp_path.iterdir()] == ["model.tar.gz"]
    with pytest.raises(RunError, match="it was changed afterwards"):
        fetch_model(replace(recipe, model_sha256="0000"), tmp_path, s3=s3)


def test_an_archive_without_a_model_is_named(tmp_path: Path) -> None:
    s3 = FakeS3()
    content = archive({"model.onnx": b"onnx"})
    s3.put_object(Bucket="models", Key=RECIPE.model_uri.removeprefix("s3://models/"), Body=content)

    with pytest.raises(RunError, match=r"lacks model\.json"):
        fetch_model(replace(RECIPE, model_sha256=hashlib.sha256(content).hexdigest()), tmp_path, s3=s3)


def test_the_images_own_program_trains_on_the_dataset(tmp_path: Path) -> None:
    dataset = tmp_path / "data.csv"
    dataset.write_bytes(DATASET)
    programs = runtime(tmp_path / "image", COPYING)

    try:
        trained = train_again(programs, dataset, work=tmp_path, environment={"FLAVOUR": "mint"}, limit_s=60)
    finally:
        programs.close()

    assert trained.onnx == DATASET + b"mint"


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    dataset = tmp_path / "data.csv"
    dataset.write_bytes(DATASET)
    programs = runtime(tmp_path / "image", FAILING)

    try:
        with pytest.raises(RunError, match="ended with exit code 1: no such column"):
            train_again(programs, dataset, work=tmp_path, environment={}, limit_s=60)
    finally:
        programs.close()


def test_another_image_than_the_runs_is_refused_with_the_commit_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_BUILD_DIR", str(tmp_path))
    settings = read_settings()
    file = settings.image_file("iris", "training")
    file.parent.mkdir(parents=True)
    built = {"model": "iris", "target": "training", "engine": "none", "image_id": "i", "tag": "t"}
    file.write_text(json.dumps({**built, "digest": "sha256:2", "commit": "4567def"}))

    with pytest.raises(UsageError, match=r"of commit 0123abc; this checkout has built sha256:2 of 4567def"):
        open_image(settings, "iris", RECIPE, tmp_path)


def test_equal_files_are_equal_predictions() -> None:
    comparison = compare_models(Trained(b"onnx", CARD), Trained(b"onnx", CARD))

    assert comparison.identical
    assert comparison.equal
    assert comparison.largest_difference == 0
    check_comparison(comparison, RECIPE)


@pytest.mark.parametrize(("answer", "equal"), [(0.8 + 1e-8, True), (0.8001, False)])
def test_other_files_are_held_against_each_other_by_their_answers(answer: float, *, equal: bool) -> None:
    comparison = compare_models(Trained(b"onnx", CARD), moved([[0.2, answer], [0.5, 0.5]]))

    assert not comparison.identical
    assert comparison.equal is equal
    if not equal:
        with pytest.raises(RunError, match=r"answers differ by up to 0\.0001"):
            check_comparison(comparison, RECIPE)


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_an_answer_that_is_no_number_is_near_nothing(answer: float) -> None:
    other = moved([[0.2, 0.8], [answer, 0.5]])

    with pytest.raises(RunError, match=f"answers 0.5 where the other answers {answer}"):
        compare_models(Trained(b"onnx", CARD), other)
    assert compare_models(other, replace(other, onnx=b"third")).equal


def test_answers_about_other_classes_are_not_compared() -> None:
    with pytest.raises(RunError, match="hold 4 and 3 values for the same rows"):
        compare_models(Trained(b"onnx", CARD), moved([[0.2, 0.8], [0.5]]))


def test_answers_to_other_rows_are_not_compared() -> None:
    other = Trained(b"other", {"probe": {"rows": [[2.0], [None]], "answers": CARD["probe"]["answers"]}})

    with pytest.raises(RunError, match="they saw different data"):
        compare_models(Trained(b"onnx", CARD), other)


def test_a_card_without_answers_is_refused() -> None:
    with pytest.raises(RunError, match="holds no answers"):
        compare_models(Trained(b"onnx", {}), Trained(b"onnx", CARD))
