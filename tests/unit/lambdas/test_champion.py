"""The champion: named by a release, kept beside each run, and demanded of each evaluation."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

import pytest
from lambda_fakes import FakeS3

from pipeline.artefact import Version
from pipeline.champion import Champion, find_champion, keep_champion, objections, read_champion
from pipeline.errors import RunError
from pipeline.lambdas.judge import objections as judge
from pipeline.profile import Drift
from pipeline.runs_table import RunsTable, run_id

SHA = hashlib.sha256(b"champion").hexdigest()
URI = "s3://models/runs/iris-1/training/job/output/model.tar.gz"
MODEL: dict[str, Any] = {
    "task": "classification",
    "gates": {"metrics": {"accuracy": {"min": 0.9}}, "parity": {"tolerance": 1e-4}},
}
CHAMPION = Champion("iris-1", SHA)
DRIFT = Drift("length", psi=0.1, limit=0.25)


def make_champion(s3: FakeS3, runs: RunsTable, now: datetime, **facts: str) -> str:
    name = run_id("iris", Version("data", "may.csv", "v1"))
    runs.claim({"run_id": name, "execution_arn": "e"}, now=now)
    runs.note(name, {"model_uri": URI, "model_sha256": SHA, **facts}, now=now)
    runs.crown("iris", name, now=now)
    s3.put_object(Bucket="models", Key=URI.removeprefix("s3://models/"), Body=b"champion")
    return name


def keep(s3: FakeS3, runs: RunsTable) -> Champion:
    champion = find_champion("iris", runs=runs)
    keep_champion(champion, beside="iris-2", drift=[DRIFT], models_bucket="models", s3=s3, runs=runs)
    return champion


def test_before_the_first_release_there_is_no_champion(s3: FakeS3, runs: RunsTable) -> None:
    kept = keep(s3, runs)

    assert kept == Champion(None, None)
    assert read_champion("iris-2", models_bucket="models", s3=s3) == kept
    assert ("models", "runs/iris-2/champion/model.tar.gz") not in s3.objects


def test_the_champions_bytes_are_kept_beside_the_run(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    name = make_champion(s3, runs, now)

    kept = keep(s3, runs)

    assert kept == Champion(name, SHA) == read_champion("iris-2", models_bucket="models", s3=s3)
    assert s3.text("models", "runs/iris-2/champion/model.tar.gz") == "champion"


def test_a_champion_is_one_models_and_no_run(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    name = make_champion(s3, runs, now)

    assert runs.champion("penguins") is None
    assert [run["run_id"] for run in runs.all()] == [name]


def test_a_champion_that_was_changed_is_refused(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    make_champion(s3, runs, now, model_sha256="other")

    with pytest.raises(RunError, match=f"has sha256 {SHA}, but other was judged"):
        keep(s3, runs)


def test_a_champion_without_an_address_is_refused(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    make_champion(s3, runs, now, model_uri="")

    with pytest.raises(RunError, match="does not say where its model is"):
        keep(s3, runs)


def beside(low: float, high: float, **changes: Any) -> dict[str, Any]:
    compared = {"metric": "accuracy", "gain": (low + high) / 2, "low": low, "high": high}
    told = {"model_sha256": SHA, "confidence": 0.95, "comparisons": [compared], "latency_ms": 1.0, **changes}
    return {"champion": told}


def told(evaluation: dict[str, Any], **rule: Any) -> list[str]:
    model = {**MODEL, "gates": {**MODEL["gates"], "champion": rule}}
    return [reason for _, reason in objections(evaluation, CHAMPION, model=model)]


@pytest.mark.parametrize(
    ("require", "interval", "reason"),
    [
        ("not_shown_worse", (-0.2, -0.1), "accuracy is worse by 0.1 or more beside the champion iris-1"),
        ("not_shown_worse", (-0.2, 0.0), None),
        ("shown_as_good", (-0.2, 0.1), "accuracy may be worse by 0.2 beside the champion iris-1"),
        ("shown_as_good", (0.0, 0.1), None),
        ("shown_better", (0.0, 0.1), "accuracy is not shown to be better beside the champion iris-1"),
        ("shown_better", (0.01, 0.1), None),
        ("nothing", (-0.2, -0.1), None),
        ("not_shown_worse", (float("nan"), float("nan")), "accuracy is worse by nan or more beside the"),
    ],
)
def test_the_rule_is_the_environments_own(
    require: str, interval: tuple[float, float], reason: str | None
) -> None:
    reasons = told(beside(*interval), require=require)

    assert bool(reasons) == bool(reason)
    assert not reason or reasons[0].startswith(reason)


def test_a_loss_within_what_is_accepted_is_accepted() -> None:
    rule = {"metrics": {"accuracy": {"max_loss": 0.15}}}

    assert told(beside(-0.2, -0.1), **rule) == []


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        ({}, f"the evaluation is beside no champion, not beside {SHA}"),
        ({"champion": None}, f"the evaluation is beside no champion, not beside {SHA}"),
        (beside(0, 0, model_sha256="other"), f"the evaluation is beside other, not beside {SHA}"),
        (beside(0, 0, comparisons=[]), "accuracy was not compared with the champion's"),
        (beside(0, 0, confidence=0.6), "the comparison is of confidence 0.6, not of 0.95"),
    ],
)
def test_a_comparison_that_the_image_left_out_is_missed(evaluation: dict[str, Any], reason: str) -> None:
    assert told(evaluation) == [reason]


def test_a_failed_comparison_is_named_once() -> None:
    gate = {"name": "champion/accuracy", "passed": False, "message": "accuracy is worse"}
    evaluation = {
        **beside(-0.2, -0.1),
        "multiclass_classification_metrics": {"accuracy": {"value": 0.95}},
        "parity": {"difference": 0.0},
        "gates": [gate],
        "model_sha256": "sha",
    }

    assert judge(evaluation, model=MODEL, model_sha256="sha", champion=CHAMPION) == ["accuracy is worse"]


@pytest.mark.parametrize(
    ("gates", "reason"),
    [
        ({"classes": {"cat": {"recall": 0.8}}}, "cat/recall 0.7 is below the minimum 0.8"),
        ({"classes": {"hen": {"recall": 0.8}}}, "hen/recall was not measured"),
        ({"latency": {"max_ms": 2}}, "latency_ms 3 is above the maximum 2"),
        ({"latency": {"max_ratio": 2}}, "latency_ratio 3 is above the maximum 2"),
        ({"max_size_bytes": 10}, "size_bytes 11 is above the maximum 10"),
    ],
)
def test_every_gate_is_judged_although_the_image_left_it_out(gates: dict[str, Any], reason: str) -> None:
    evaluation = {
        **beside(0.0, 0.1),
        "multiclass_classification_metrics": {"accuracy": {"value": 0.95}},
        "classes": {"cat": {"recall": 0.7}},
        "parity": {"difference": 0.0},
        "latency": {"median_ms": 3.0},
        "size": {"bytes": 11},
        "gates": [],
        "model_sha256": "sha",
    }
    model = {**MODEL, "gates": {**MODEL["gates"], **gates}}

    assert judge(evaluation, model=model, model_sha256="sha", champion=CHAMPION) == [reason]
    assert judge(evaluation, model=MODEL, model_sha256="sha", champion=CHAMPION) == []


def test_a_record_of_a_champion_is_json(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    make_champion(s3, runs, now)
    keep(s3, runs)

    facts = json.loads(s3.text("models", "runs/iris-2/champion/champion.json"))
    assert facts["model_sha256"] == SHA
    assert facts["drift"] == [{"column": "length", "psi": 0.1, "limit": 0.25}]
