"""What is told of a run, and of two beside each other."""

from __future__ import annotations

from typing import Any

from pipeline.lineage import compare_runs, describe_run

RUN: dict[str, Any] = {
    "run_id": "iris-1",
    "model": "iris",
    "status": "Approved",
    "rows": 119,
    "dataset_sha256": "aa",
    "task_token": "secret",
    "metrics": {"accuracy": 0.9, "log_loss": 0.2},
    "parity": {"difference": 1e-7, "tolerance": 1e-4},
    "release_production": {"status": "InService", "reason": ""},
}


def test_a_run_is_told_with_its_metrics_and_releases() -> None:
    facts = describe_run(RUN)

    assert facts["metric accuracy"] == 0.9
    assert facts["parity"] == 1e-7
    assert facts["release production"] == "InService"
    assert "secret" not in facts.values()


def test_a_run_that_has_just_begun_is_told_without_what_is_not_known() -> None:
    assert describe_run({"run_id": "iris-2", "status": "Running", "reason": None}) == {
        "run_id": "iris-2",
        "status": "Running",
    }


def test_two_runs_are_compared_fact_by_fact() -> None:
    other = {**RUN, "run_id": "iris-2", "dataset_sha256": "bb", "metrics": {"accuracy": 0.95}, "rows": 110}

    facts = {fact["fact"]: fact for fact in compare_runs(RUN, other)}

    assert facts["rows"]["difference"] == -9
    assert round(facts["metric accuracy"]["difference"], 6) == 0.05
    assert (facts["metric log_loss"]["other"], facts["metric log_loss"]["difference"]) == (None, None)
    assert facts["status"]["same"]
    assert not facts["dataset_sha256"]["same"]
