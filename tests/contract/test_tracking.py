"""`mlops track` against a real MLflow tracking server, with runs of the real state machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from local_aws import LocalAws
from machine_stage import EVALUATE, PROGRAMS, TRAIN, Model, Stage
from mlflow import MlflowClient
from mlflow_server import serve_mlflow

from pipeline.errors import TrackingError, UsageError
from pipeline.tracking import RUN_TAG, Facts, Sources, open_client, read_facts, track

CHECKOUT = Path(__file__).parents[2]
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:retraining:forgotten"
CARD = {"estimator": "logistic_regression", "hyperparameters": {"C": 0.5, "solver": "lbfgs"}, "versions": {}}
WITH_CARD = TRAIN + f"(base / 'model/model.json').write_text({json.dumps(json.dumps(CARD))})\n"
WITH_PAGE = EVALUATE + "(output / 'report.html').write_text('<html>good</html>')\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_mlflow(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture
def client(address: str) -> MlflowClient:
    found: MlflowClient = open_client({"MLFLOW_TRACKING_URI": address})
    return found


@pytest.fixture(scope="module")
def model(stage: Stage, build_image: Callable[..., str]) -> Model:
    return Model(stage, build_image({**PROGRAMS, "train": WITH_CARD, "evaluate": WITH_PAGE}))


@pytest.fixture(scope="module")
def run(model: Model) -> dict[str, Any]:
    """A run that waits for a person."""
    upload = model.upload()
    model.start(model.retraining_arn, upload)
    return model.wait_for_gate(model.run_id(upload))


@pytest.fixture
def sources(aws: LocalAws) -> Sources:
    return Sources(*(aws.client(name) for name in ("s3", "sagemaker", "stepfunctions")))


def found(client: MlflowClient, experiment: str) -> list[Any]:
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def read_file(client: MlflowClient, run_id: str, name: str) -> bytes:
    return Path(client.download_artifacts(run_id, name)).read_bytes()


def facts(run_id: str) -> Facts:
    """All that a run can have, without one."""
    return Facts(
        run_id=run_id,
        status="FINISHED",
        started_ms=1_000,
        ended_ms=2_000,
        params={"commit": "0123abc"},
        metrics={"accuracy": 0.5},
        tags={"mlops.status": "Approved"},
        files={"lineage.json": b"{}"},
    )


def test_a_run_stands_in_mlflow_with_all_that_it_came_from(
    client: MlflowClient, run: dict[str, Any], sources: Sources, name: str
) -> None:
    tracked = track(client, read_facts(run, sources), experiment=name)

    (mirrored,) = found(client, name)
    params, tags = mirrored.data.params, mirrored.data.tags
    assert tracked.changed
    assert (mirrored.info.run_id, mirrored.info.run_name, mirrored.info.status) == (
        tracked.mlflow_run_id,
        run["run_id"],
        "FINISHED",
    )
    assert params["dataset_version_id"] == run["version_id"]
    assert params["dataset_sha256"] == run["dataset_sha256"]
    assert (params["commit"], params["instance_type"], params["instance_count"]) == (
        "0123abc",
        "ml.m5.large",
        "1",
    )
    assert params["image_digest"].startswith("sha256:")
    assert (params["hyperparameter C"], params["hyperparameter solver"]) == ("0.5", "lbfgs")
    assert mirrored.data.metrics == {"accuracy": 0.95, "parity": 0.0}
    assert (tags[RUN_TAG], tags["mlops.status"]) == (run["run_id"], "WaitingForApproval")
    assert tags["mlops.execution_arn"] == run["execution_arn"]
    assert tags["mlops.model_package_arn"] == run["model_package_arn"]
    evaluation = json.loads(read_file(client, tracked.mlflow_run_id, "evaluation.json"))
    assert evaluation["model_sha256"] == run["model_sha256"]
    assert read_file(client, tracked.mlflow_run_id, "report.html") == b"<html>good</html>"
    lineage = read_file(client, tracked.mlflow_run_id, "lineage.json")
    assert json.loads(lineage)["run"]["run_id"] == run["run_id"]
    assert run["task_token"].encode() not in lineage


def test_what_mlflow_knows_is_not_told_again_and_what_is_new_is(
    client: MlflowClient, run: dict[str, Any], sources: Sources, name: str
) -> None:
    first = track(client, read_facts(run, sources), experiment=name)
    before = found(client, name)[0].to_dictionary()

    second = track(client, read_facts(run, sources), experiment=name)
    (same,) = found(client, name)
    third = track(
        client, read_facts({**run, "status": "Approved", "reason": "good"}, sources), experiment=name
    )

    assert (second.changed, second.mlflow_run_id) == (False, first.mlflow_run_id)
    assert same.to_dictionary() == before
    assert third.changed
    assert [mirrored.data.tags["mlops.status"] for mirrored in found(client, name)] == ["Approved"]


class Killed(BaseException):
    """As a process that ends."""


class Mortal:
    """A client after some of whose calls the process ends."""

    def __init__(self, client: MlflowClient, calls: int) -> None:
        self._client, self.left = client, calls

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            answer = getattr(self._client, name)(*given, **named)
            self.left -= 1
            if self.left == 0:
                raise Killed
            return answer

        return call


def test_one_that_was_killed_after_any_of_its_calls_is_completed_and_stays_one(
    client: MlflowClient, name: str
) -> None:
    killed = 0
    while True:
        wanted = facts(f"run-{killed}")
        mortal = Mortal(client, killed + 1)
        try:
            track(mortal, wanted, experiment=name)
            break
        except Killed:
            killed += 1
        track(client, wanted, experiment=name)

    mirrored = found(client, name)
    assert killed > 8
    assert sorted(one.info.run_name for one in mirrored) == sorted(f"run-{i}" for i in range(killed + 1))
    for one in mirrored:
        assert (one.data.params, one.data.metrics) == ({"commit": "0123abc"}, {"accuracy": 0.5})
        assert (one.info.status, one.info.end_time) == ("FINISHED", 2_000)
        assert read_file(client, one.info.run_id, "lineage.json") == b"{}"


def test_of_two_that_were_made_at_once_the_first_stays(client: MlflowClient, name: str) -> None:
    experiment = client.create_experiment(name)
    made = [
        client.create_run(experiment, tags={RUN_TAG: "r", "mlops.tracked_at": time}).info.run_id
        for time in ("2026-11-21T10:00:01", "2026-11-21T10:00:00")
    ]

    tracked = track(client, facts("r"), experiment=name)

    assert tracked.mlflow_run_id == made[1]
    assert [one.info.run_id for one in found(client, name)] == [made[1]]


def test_more_values_than_a_request_holds_and_longer_ones_are_taken(client: MlflowClient, name: str) -> None:
    many = {f"value {number}": "x" * 500 for number in range(250)}

    track(
        client, replace(facts("r"), params=many, tags=many, metrics=dict.fromkeys(many, 1.0)), experiment=name
    )

    (mirrored,) = found(client, name)
    assert mirrored.data.params == many
    assert len(mirrored.data.metrics) == 250


def test_a_dataset_that_was_refused_stands_there_with_its_reason(
    client: MlflowClient, model: Model, sources: Sources, name: str
) -> None:
    upload = model.upload(b"length,species\n12,cat\n")
    model.end(model.start(model.retraining_arn, upload))

    track(client, read_facts(model.stage.runs.get(model.run_id(upload)), sources), experiment=name)

    (mirrored,) = found(client, name)
    assert (mirrored.info.status, mirrored.data.tags["mlops.status"]) == ("FAILED", "Quarantined")
    assert "length" in mirrored.data.tags["mlops.reason"]
    assert [file.path for file in client.list_artifacts(mirrored.info.run_id)] == ["lineage.json"]


def test_a_lineage_that_faded_replaces_none(client: MlflowClient, name: str) -> None:
    faded = frozenset(["lineage.json"])
    for run_id in ("known", "old"):
        track(client, replace(facts(run_id), files={"evaluation.json": b"1"}), experiment=name)
    track(client, replace(facts("known"), files={"lineage.json": b"all"}), experiment=name)

    for run_id in ("known", "old"):
        poorer = {"lineage.json": b"some", "evaluation.json": b"2"}
        track(client, replace(facts(run_id), files=poorer, faded=faded), experiment=name)

    runs = {one.info.run_name: one.info.run_id for one in found(client, name)}
    assert read_file(client, runs["known"], "lineage.json") == b"all"
    assert read_file(client, runs["old"], "lineage.json") == b"some"
    assert read_file(client, runs["known"], "evaluation.json") == b"2"


def test_an_experiment_that_somebody_deleted_is_named(client: MlflowClient, name: str) -> None:
    client.delete_experiment(client.create_experiment(name))

    with pytest.raises(TrackingError, match=f"experiment {name} was deleted"):
        track(client, facts("r"), experiment=name)


def command(stage: Stage, folder: Path, *arguments: str, address: str) -> subprocess.CompletedProcess[str]:
    """`mlops` with the stage for its environment."""
    outputs = folder / "outputs" / "environment-staging.json"
    names = {
        "environment": "staging",
        "data_bucket": stage.buckets["data"],
        "models_bucket": stage.buckets["models"],
        "runs_table": "stage-runs",
        "ledger_bucket": stage.buckets["ledger"],
        "approval_key_arn": stage.approval_key,
        "promotes_from": None,
        "redrive_arn": "none",
        "models": {},
    }
    outputs.parent.mkdir(exist_ok=True)
    outputs.write_text(json.dumps({"pipeline": names}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    variables = {**stage.aws.environment, "AWS_PROFILE": "admin", "MLOPS_BUILD_DIR": str(folder)}
    variables["MLFLOW_TRACKING_URI"] = address
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments, "--json"],
        cwd=CHECKOUT,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_that_is_watched_is_tracked_by_itself_and_by_hand_no_second_time(
    address: str, client: MlflowClient, stage: Stage, run: dict[str, Any], tmp_path: Path
) -> None:
    watched = command(stage, tmp_path, "watch", run["run_id"], address=address)
    by_hand = command(stage, tmp_path, "track", run["run_id"], address=address)

    experiment = f"mlops-staging-{run['model']}"
    (mirrored,) = found(client, experiment)
    assert (watched.returncode, json.loads(watched.stdout)["run_id"]) == (0, run["run_id"]), watched.stderr
    assert f"in MLflow's {experiment} as {mirrored.info.run_id}" in watched.stderr
    assert run["task_token"] not in watched.stdout
    assert json.loads(by_hand.stdout)["runs"] == [
        {
            "run_id": run["run_id"],
            "experiment": experiment,
            "mlflow_run_id": mirrored.info.run_id,
            "changed": False,
        }
    ], by_hand.stderr


def test_a_server_that_is_down_is_a_warning_to_who_watches_and_an_error_to_who_tracks(
    stage: Stage, run: dict[str, Any], tmp_path: Path
) -> None:
    nowhere = "http://bob:secret@127.0.0.1:9"

    watched = command(stage, tmp_path, "watch", run["run_id"], address=nowhere)
    with pytest.raises(TrackingError, match=f"MLflow does not take run {run['run_id']}") as refused:
        track(open_client({"MLFLOW_TRACKING_URI": nowhere}), facts(run["run_id"]), experiment="none")

    assert (watched.returncode, json.loads(watched.stdout)["run_id"]) == (0, run["run_id"]), watched.stderr
    assert f"Catch up with `mlops track {run['run_id']} --env staging`" in " ".join(watched.stderr.split())
    assert "http://127.0.0.1:9" in watched.stderr
    assert "secret" not in f"{watched.stderr}{refused.value}"


def test_a_run_that_cannot_be_read_keeps_no_other_from_mlflow(
    address: str, client: MlflowClient, stage: Stage, name: str, tmp_path: Path
) -> None:
    item = {"model": name, "bucket": "b", "key": "k", "version_id": "v", "execution_arn": EXECUTION}
    lost = {"model_uri": f"s3://{stage.buckets['models']}/runs/lost/model.tar.gz"}
    for day, run in enumerate(({"run_id": f"{name}-old"}, {"run_id": f"{name}-new", **lost}), start=1):
        stage.runs.claim({**item, **run}, now=datetime(2026, 11, day, tzinfo=UTC))

    ended = command(stage, tmp_path, "track", "--all", "--model", name, address=address)

    error = json.loads(ended.stderr.splitlines()[-1])["error"]
    assert (ended.returncode, error["type"]) == (14, "TrackingError")
    assert f"1 of 2 runs are not in MLflow as they stand. What AWS has of run {name}-new" in error["message"]
    assert [one["run_id"] for one in json.loads(ended.stdout)["runs"]] == [f"{name}-old"]
    assert [one.info.run_name for one in found(client, f"mlops-staging-{name}")] == [f"{name}-old"]


def test_a_run_of_another_model_is_wrong_usage(
    address: str, stage: Stage, run: dict[str, Any], tmp_path: Path
) -> None:
    ended = command(stage, tmp_path, "track", run["run_id"], "--model", "other", address=address)

    error = json.loads(ended.stderr)["error"]
    assert (ended.returncode, error["type"]) == (2, "UsageError")
    assert f"Not every run is of other: {run['run_id']} is of {run['model']}." in error["message"]


def test_a_server_that_never_answers_is_asked_twice_in_the_users_time(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("os.environ", {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"})
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0)
        silent_client = open_client({"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{silent.getsockname()[1]}"})

        with pytest.raises(TrackingError, match="timed out"):
            track(silent_client, facts("r"), experiment=name)

        asked = list(accept_all(silent))

    assert len(asked) == 2


def accept_all(server: socket.socket) -> Iterator[None]:
    """Once for each connection that waits."""
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return
        yield


def test_a_request_may_take_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/bin"})

    open_client({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})

    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"


@pytest.mark.parametrize("address", ["foo://bar", "bob:secret@host", "http://[bob:secret@host"])
def test_an_address_that_mlflow_cannot_use_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("os.environ", dict(os.environ))

    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI is no address that MLflow can use") as refused:
        open_client({"MLFLOW_TRACKING_URI": address})

    assert "secret" not in str(refused.value)
