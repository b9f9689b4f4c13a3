"""What MLflow is told of a run, and what it is not troubled with."""

from __future__ import annotations

import io
import json
import math
import sys
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import SetupError, TrackingError, UsageError
from pipeline.tracking import VALUE_LIMIT, Sources, conceal, open_client, read_facts, tracking_uri

RUN = {
    "run_id": "iris-1",
    "model": "iris",
    "status": "WaitingForApproval",
    "created_at": "2026-11-21T10:00:00+00:00",
    "updated_at": "2026-11-21T10:05:00+00:00",
    "bucket": "data",
    "key": "datasets/iris/a.csv",
    "version_id": "v1",
    "execution_arn": "execution",
    "task_token": "the token that answers the gate",
}
TRAINED = {
    **RUN,
    "model_uri": "s3://models/runs/iris-1/training/job/output/model.tar.gz",
    "metrics": {"accuracy": 0.9},
    "parity": {"difference": 1e-7},
}
EVALUATION = {
    "classes": {"iris setosa (a)": {"recall": 1.0, "rows": 10}},
    "latency": {"median_ms": 0.5},
    "champion": {
        "latency_ms": 0.4,
        "comparisons": [{"metric": "accuracy", "champion": 0.8, "gain": 0.1, "low": 0.0, "high": 0.2}],
    },
    "gates": [{"name": "accuracy", "passed": True}, {"name": "latency_ms", "passed": False}],
}
CARD = {"estimator": "ridge", "hyperparameters": {"alpha": 0.5, "text": "x" * 600}}


class S3:
    """Objects by key; all others may not be told."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get_object(self, **request: str) -> dict[str, Any]:
        if request["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[request["Key"]])}


class States:
    """Step Functions with the history of one execution, or none that is so old."""

    def __init__(self, *events: dict[str, Any], forgotten: bool = False) -> None:
        self.events, self.forgotten = events, forgotten

    def get_paginator(self, _name: str) -> States:
        return self

    def paginate(self, **_request: str) -> list[dict[str, Any]]:
        if self.forgotten:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "GetExecutionHistory")
        return [{"events": self.events}]


def scheduled(instance: str) -> dict[str, Any]:
    request = {"ResourceConfig": {"InstanceType": instance, "InstanceCount": 1}}
    return {
        "taskScheduledEventDetails": {
            "resource": "createTrainingJob.sync",
            "parameters": json.dumps(request),
        }
    }


def archive(card: object, *links: str) -> bytes:
    return archive_text(json.dumps(card).encode(), *links)


def archive_text(content: bytes, *links: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in links:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "model.onnx"
            tar.addfile(link)
        for name in ("model.onnx", "model.json"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


MODEL_KEY = "runs/iris-1/training/job/output/model.tar.gz"


def stored(evaluation: dict[str, Any], *, card: object = CARD) -> dict[str, bytes]:
    return {
        MODEL_KEY: archive(card),
        "runs/iris-1/evaluation/evaluation.json": json.dumps(evaluation).encode(),
        "runs/iris-1/evaluation/report.html": b"<html>",
    }


def sources(objects: dict[str, bytes], states: States | None = None) -> Sources:
    return Sources(S3(objects), None, states or States())


def test_a_model_is_told_of_with_the_champion_beside_it() -> None:
    states = States(scheduled("ml.m5.large"), {}, scheduled("ml.m5.xlarge"))

    facts = read_facts(TRAINED, sources(stored(EVALUATION), states))

    assert facts.metrics == {
        "accuracy": 0.9,
        "parity": 1e-7,
        "latency_ms": 0.5,
        "iris setosa _a_/recall": 1.0,
        "iris setosa _a_/rows": 10.0,
        "champion/accuracy": 0.8,
        "champion/latency_ms": 0.4,
        "gain/accuracy/gain": 0.1,
        "gain/accuracy/low": 0.0,
        "gain/accuracy/high": 0.2,
    }
    assert facts.params["instance_type"] == "ml.m5.xlarge"
    assert (facts.params["estimator"], facts.params["hyperparameter alpha"]) == ("ridge", "0.5")
    assert facts.tags["mlops.gates_failed"] == "latency_ms"
    assert set(facts.files) == {"evaluation.json", "report.html", "lineage.json"}
    assert (facts.status, facts.ended_ms - facts.started_ms) == ("FINISHED", 300_000)


def test_no_secret_of_the_run_is_told() -> None:
    assert RUN["task_token"] not in repr(read_facts(TRAINED, sources(stored(EVALUATION))))


def test_numbers_that_are_none_are_told_as_text() -> None:
    run = {**TRAINED, "metrics": {"accuracy": 0.9, "log_loss": math.inf, "r2": math.nan}}

    facts = read_facts(run, sources(stored({})))

    assert facts.metrics == {"accuracy": 0.9, "parity": 1e-7}
    assert facts.tags["mlops.not_finite"] == "log_loss=inf, r2=nan"


def test_a_long_value_is_cut_and_stands_in_the_lineage_as_a_whole() -> None:
    facts = read_facts(TRAINED, sources(stored({})))

    cut = facts.params["hyperparameter text"]
    assert len(cut) == VALUE_LIMIT
    assert cut.endswith("... (600 characters)")
    assert "x" * 600 in facts.files["lineage.json"].decode()


def test_a_run_without_a_model_has_its_reason() -> None:
    facts = read_facts({**RUN, "status": "Quarantined", "reason": "line 4"}, sources({}))

    assert (facts.status, facts.metrics) == ("FAILED", {})
    assert facts.tags["mlops.reason"] == "line 4"
    assert set(facts.files) == {"lineage.json"}


def test_a_run_that_goes_on_has_no_end() -> None:
    facts = read_facts({**RUN, "status": "Running"}, sources({}))

    assert (facts.status, facts.ended_ms) == ("RUNNING", None)


def test_a_page_that_the_image_did_not_write_is_named_and_missing_numbers_are_an_error() -> None:
    objects = stored({}, card=[])
    del objects["runs/iris-1/evaluation/report.html"]

    assert read_facts(TRAINED, sources(objects)).tags["mlops.absent"] == "report.html"

    del objects["runs/iris-1/evaluation/evaluation.json"]
    with pytest.raises(TrackingError, match=r"What AWS has of run iris-1 cannot be read: .*AccessDenied"):
        read_facts(TRAINED, sources(objects))


def test_what_aws_has_forgotten_is_left_out_and_fades_the_lineage() -> None:
    facts = read_facts(TRAINED, sources(stored({}), States(forgotten=True)))

    assert "instance_type" not in facts.params
    assert facts.faded == {"lineage.json"}
    assert not read_facts(TRAINED, sources(stored({}))).faded


def test_a_link_before_the_card_hides_it_not() -> None:
    objects = stored({}) | {MODEL_KEY: archive(CARD, "latest", "./model.json")}

    assert read_facts(TRAINED, sources(objects)).params["estimator"] == "ridge"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda objects: objects | {MODEL_KEY: b"no archive"},
        lambda objects: objects | {MODEL_KEY: objects[MODEL_KEY][:60]},
        lambda objects: objects | {MODEL_KEY: archive_text(b"{")},
        lambda objects: objects | {MODEL_KEY: archive_text(b"[" * 100_000)},
        lambda objects: objects | {"runs/iris-1/evaluation/evaluation.json": b"{"},
        lambda _objects: {},
    ],
)
def test_what_cannot_be_read_is_an_error_of_its_run(
    spoil: Callable[[dict[str, bytes]], dict[str, bytes]],
) -> None:
    with pytest.raises(TrackingError, match="What AWS has of run iris-1 cannot be read"):
        read_facts(TRAINED, sources(spoil(stored({}))))


def test_hyperparameters_that_are_no_object_are_left_out() -> None:
    facts = read_facts(TRAINED, sources(stored({}, card={"estimator": "ridge", "hyperparameters": [1]})))

    assert facts.params["estimator"] == "ridge"


class Registry:
    """A registry whose package somebody deleted."""

    def describe_model_package(self, **_request: str) -> dict[str, Any]:
        error = {"Code": "ValidationException", "Message": "ModelPackage does not exist"}
        raise ClientError({"Error": error}, "DescribeModelPackage")


def test_a_package_that_is_gone_is_an_error_of_its_run() -> None:
    run = {**TRAINED, "model_package_arn": "package"}

    with pytest.raises(TrackingError, match=r"iris-1 cannot be read: .*ModelPackage does not exist"):
        read_facts(run, Sources(S3(stored({})), Registry(), States()))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("API request to http://bob:secret@host/api failed", "API request to http://host/api failed"),
        ("Invalid url: 'https://bob:s@cr/t@host:1'", "Invalid url: 'https://host:1'"),
        ("postgresql://bob:secret@db/mlflow\n  is down", "postgresql://db/mlflow is down"),
        ("anna@example.com may not", "anna@example.com may not"),
    ],
)
def test_what_an_error_says_holds_no_password(said: str, shown: str) -> None:
    assert conceal(RuntimeError(said)) == shown


@pytest.mark.parametrize("variables", [{}, {"MLFLOW_TRACKING_URI": " "}])
def test_nothing_is_tracked_without_an_address(variables: dict[str, str]) -> None:
    assert tracking_uri(variables) is None
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI is not set"):
        open_client(variables)


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(SetupError, match=r"extra `mlflow` .* mlflow-skinny"):
        open_client({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
