"""What a delivery sees of the mirror in MLflow, and what of a run its commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from pipeline.cli.desk import Desk
from pipeline.cli.models import mirror_run
from pipeline.runs_table import RunsTable


class NoTable:
    """A table that refuses every look."""

    def get(self, run_id: str) -> None:
        raise RuntimeError(f"no look at {run_id} by way of https://bob:secret@proxy")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    (tmp_path / "mlops.toml").write_text('project = "mlops"\nregion = "us-east-1"\nmodels = ["iris"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Desk(as_json=True)


def test_without_an_address_the_table_is_not_even_read(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror_run(desk, cast(RunsTable, NoTable()), "iris-1", "production")

    assert capsys.readouterr().err == ""


def test_a_table_that_cannot_be_read_is_a_warning_without_passwords(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    mirror_run(desk, cast(RunsTable, NoTable()), "iris-1", "production")

    warning = capsys.readouterr().err
    assert "warning: run iris-1 is not in MLflow as it stands (RuntimeError: no look at iris-1" in warning
    assert "by way of https://proxy). Catch up with `mlops track iris-1 --env production`." in warning


def test_no_command_prints_the_token_that_answers_a_gate(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"run_id": "iris-1", "task_token": "secret", "metrics": {"accuracy": 0.9}}

    desk.show({**run, "run": run, "runs": [run]})

    public = {"run_id": "iris-1", "metrics": {"accuracy": 0.9}}
    assert json.loads(capsys.readouterr().out) == {**public, "run": public, "runs": [public]}
