"""The steps of the retraining machine, from the claim to the answered gate."""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import Any

import pytest
from lambda_fakes import FakeS3

from pipeline.artefact import hash_latest, parse_uri
from pipeline.champion import Champion
from pipeline.errors import UsageError
from pipeline.lambdas.claim import claim
from pipeline.lambdas.judge import judge, objections
from pipeline.lambdas.open_gate import open_gate
from pipeline.lambdas.validate import validate
from pipeline.runs_table import RunsTable

ALICE = "arn:aws:sts::123456789012:assumed-role/mlops-data-scientist/alice"
UPLOAD = {"bucket": "data", "key": "datasets/iris/may.csv", "version_id": "v1"}
MODEL = {
    "task": "classification",
    "target": "species",
    "min_rows": 2,
    "columns": [
        {"name": "length", "type": "number", "max": 10},
        {"name": "species", "type": "category", "allowed": ["setosa", "virginica"]},
    ],
    "gates": {"metrics": {"accuracy": {"min": 0.9}, "log_loss": {"max": 0.5}}, "parity": {"tolerance": 1e-4}},
}
HOLDOUT = b"length,species\n3.55,setosa\n4.55,virginica\n"
GOOD = b"length,species\n1,setosa\n2,virginica\n"


def claim_upload(
    runs: RunsTable, now: datetime, *, execution: str = "execution-1", s3: FakeS3 | None = None, **event: Any
) -> dict[str, Any]:
    request = {"model": "iris", "execution_arn": execution, "event": {**UPLOAD, **event}}
    return claim(request, s3=s3 or FakeS3(), runs=runs, now=now)


def upload(s3: FakeS3, *versions: bytes) -> None:
    s3.put_object(Bucket="models", Key="config/iris/model.json", Body=json.dumps(MODEL).encode())
    s3.put_object(Bucket="models", Key="config/iris/holdout.csv", Body=HOLDOUT)
    for content in versions:
        s3.put_object(Bucket="data", Key="datasets/iris/may.csv", Body=content)


def validate_upload(s3: FakeS3, runs: RunsTable, now: datetime, *, run_id: str) -> dict[str, Any]:
    request = {"run_id": run_id, "model": "iris", **UPLOAD}
    return validate(request, data_bucket="data", models_bucket="models", s3=s3, runs=runs, now=now)


def test_the_first_event_claims_the_upload(runs: RunsTable, now: datetime) -> None:
    answer = claim_upload(runs, now, route="s3", uploaded_by=None)

    assert answer["outcome"] == "claimed"
    run = runs.get(answer["run_id"])
    assert (run["status"], run["route"], run["execution_arn"]) == ("Running", "s3", "execution-1")
    assert "uploaded_by" not in run


def stop(runs: RunsTable, now: datetime, run_id: str) -> None:
    holder = runs.get(run_id)["execution_arn"]
    assert runs.release(run_id, holder=holder, reason="stopped", now=now)
    runs.note(run_id, {"entered": holder}, now=now)


@pytest.mark.parametrize("route", ["s3", "cloudtrail", "reconciler"])
def test_no_event_takes_up_what_was_stopped(runs: RunsTable, now: datetime, route: str) -> None:
    run_id = claim_upload(runs, now, route="s3")["run_id"]
    stop(runs, now, run_id)

    answer = claim_upload(runs, now, execution="execution-2", route=route)

    assert (answer["outcome"], runs.get(run_id)["status"]) == ("duplicate", "Stopped")


def test_a_person_takes_up_what_was_stopped_with_jobs_of_fresh_names(runs: RunsTable, now: datetime) -> None:
    first = claim_upload(runs, now, route="s3")
    assert claim_upload(runs, now, execution="execution-2", route="hand")["outcome"] == "duplicate"
    stop(runs, now, first["run_id"])

    again = claim_upload(runs, now, execution="execution-2", route="hand")
    asked_twice = claim_upload(runs, now, execution="execution-2", route="hand")
    third = claim_upload(runs, now, execution="execution-3", route="hand")

    assert first["job_name"] == first["run_id"]
    assert again == asked_twice
    assert (again["outcome"], again["job_name"]) == ("claimed", f"{first['run_id']}-r2")
    assert third["outcome"] == "duplicate"
    assert runs.get(first["run_id"])["execution_arn"] == "execution-2"


def test_what_was_stopped_with_a_model_is_not_taken_up(runs: RunsTable, now: datetime) -> None:
    run_id = claim_upload(runs, now, route="s3")["run_id"]
    runs.note(run_id, {"model_uri": "s3://models/runs/model.tar.gz"}, now=now)
    stop(runs, now, run_id)

    assert claim_upload(runs, now, execution="execution-2", route="hand")["outcome"] == "duplicate"
    assert runs.get(run_id)["execution_arn"] == "execution-1"


def test_the_uploader_of_what_is_taken_up_stays(runs: RunsTable, now: datetime) -> None:
    run_id = claim_upload(runs, now, route="cloudtrail", uploaded_by=ALICE)["run_id"]
    stop(runs, now, run_id)

    again = claim_upload(runs, now, execution="execution-2", route="hand", uploaded_by=ALICE[:-5] + "carol")

    assert again["outcome"] == "claimed"
    assert runs.get(run_id)["uploaded_by"] == "alice"


@pytest.mark.parametrize("route", ["hand", None])
def test_who_starts_an_execution_by_hand_names_no_uploader(
    runs: RunsTable, now: datetime, route: str | None
) -> None:
    run_id = claim_upload(runs, now, route=route, uploaded_by=ALICE)["run_id"]
    claim_upload(runs, now, execution="execution-2", route=route, uploaded_by=ALICE)

    assert "uploaded_by" not in runs.get(run_id)
    stop(runs, now, run_id)
    assert claim_upload(runs, now, execution="execution-3", uploaded_by=ALICE)["outcome"] == "claimed"
    assert "uploaded_by" not in runs.get(run_id)


def test_what_was_stopped_is_not_taken_up_before_the_ledger_says_so(runs: RunsTable, now: datetime) -> None:
    run_id = claim_upload(runs, now, route="s3")["run_id"]
    runs.release(run_id, holder="execution-1", reason="stopped", now=now)

    assert claim_upload(runs, now, execution="execution-2", route="hand")["outcome"] == "duplicate"


def test_the_second_event_is_a_duplicate_that_brings_the_uploaders_name(
    runs: RunsTable, now: datetime
) -> None:
    first = claim_upload(runs, now, route="s3", uploaded_by=None)

    second = claim_upload(runs, now, execution="execution-2", route="cloudtrail", uploaded_by=ALICE)

    assert (second["outcome"], second["run_id"]) == ("duplicate", first["run_id"])
    run = runs.get(first["run_id"])
    assert (run["uploaded_by"], run["route"], run["execution_arn"]) == ("alice", "s3", "execution-1")


def test_a_claim_whose_answer_was_lost_is_had_again(runs: RunsTable, now: datetime) -> None:
    claim_upload(runs, now)

    assert claim_upload(runs, now)["outcome"] == "claimed"


def test_the_same_key_uploaded_again_is_another_run(runs: RunsTable, now: datetime) -> None:
    first = claim_upload(runs, now)

    second = claim_upload(runs, now, execution="execution-2", version_id="v2")

    assert second["outcome"] == "claimed"
    assert second["run_id"] != first["run_id"]


def test_a_version_that_comes_after_a_newer_one_is_superseded(
    s3: FakeS3, runs: RunsTable, now: datetime
) -> None:
    upload(s3, GOOD, GOOD, GOOD, GOOD)
    s3.put_object(Bucket="data", Key="datasets/iris/may.csv.old", Body=GOOD)
    versions = ["v1", "v3", "v2", "v4", "v2"]

    answers = [
        claim_upload(runs, now, execution=f"e{place}", s3=s3, version_id=version)
        for place, version in enumerate(versions)
    ]

    outcomes = [answer["outcome"] for answer in answers]
    assert outcomes == ["claimed", "claimed", "superseded", "claimed", "duplicate"]
    newer = answers[1]["run_id"]
    assert answers[2]["reason"] == (
        f"a newer version of datasets/iris/may.csv came before this one: see run {newer}"
    )


def test_a_superseded_claim_whose_answer_was_lost_is_superseded_again(
    s3: FakeS3, runs: RunsTable, now: datetime
) -> None:
    upload(s3, GOOD, GOOD)
    claim_upload(runs, now, execution="newer", s3=s3, version_id="v2")

    first = claim_upload(runs, now, s3=s3)

    assert first["outcome"] == "superseded"
    assert claim_upload(runs, now, s3=s3) == first


def test_newer_versions_without_a_run_and_other_keys_supersede_nothing(
    s3: FakeS3, runs: RunsTable, now: datetime
) -> None:
    upload(s3, GOOD, GOOD, GOOD)
    claim_upload(runs, now, execution="other", s3=s3, key="datasets/iris/may.csv.old")

    assert claim_upload(runs, now, s3=s3)["outcome"] == "claimed"


def test_a_version_that_was_deleted_is_left_to_validation(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    upload(s3, GOOD, GOOD)
    claim_upload(runs, now, execution="other", s3=s3, version_id="v2")

    assert claim_upload(runs, now, s3=s3, version_id="v9")["outcome"] == "claimed"


@pytest.mark.parametrize("name", ["bucket", "key", "version_id"])
def test_an_event_without_the_whole_address_is_refused(name: str, runs: RunsTable, now: datetime) -> None:
    with pytest.raises(UsageError, match=f"names no {name}"):
        claim_upload(runs, now, **{name: None})


def test_a_good_dataset_is_copied_for_training(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    upload(s3, GOOD)
    run_id = claim_upload(runs, now)["run_id"]

    verdict = validate_upload(s3, runs, now, run_id=run_id)

    assert verdict["accepted"]
    assert verdict["train_uri"] == f"s3://models/runs/{run_id}/train/data.csv"
    assert s3.text("models", f"runs/{run_id}/train/data.csv").encode() == GOOD
    assert (runs.get(run_id)["rows"], runs.get(run_id)["dataset_sha256"]) == (2, verdict["dataset_sha256"])


def test_the_claimed_version_is_read_although_it_was_overwritten(
    s3: FakeS3, runs: RunsTable, now: datetime
) -> None:
    upload(s3, GOOD, b"something else")
    run_id = claim_upload(runs, now)["run_id"]

    assert validate_upload(s3, runs, now, run_id=run_id)["accepted"]
    assert s3.text("models", f"runs/{run_id}/train/data.csv").encode() == GOOD


def test_the_next_dataset_is_held_against_the_champions(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    lengths = [index % 90 / 10 for index in range(200)]
    labels = ["setosa" if index % 3 else "virginica" for index in range(200)]
    usual, shifted = (
        "\n".join(["length,species", *(f"{x * scale},{y}" for x, y in zip(lengths, labels, strict=True))])
        for scale in (1.0, 0.3)
    )
    upload(s3, usual.encode(), shifted.encode(), usual.encode())
    first = claim_upload(runs, now)["run_id"]
    validate_upload(s3, runs, now, run_id=first)
    s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"model")
    sha256 = hash_latest("s3://models/model.tar.gz", s3=s3).sha256
    runs.note(first, {"model_uri": "s3://models/model.tar.gz", "model_sha256": sha256}, now=now)
    runs.crown("iris", first, now=now)

    verdicts = []
    for version_id in ("v2", "v3"):
        run_id = claim_upload(runs, now, execution=version_id, version_id=version_id)["run_id"]
        request = {"run_id": run_id, "model": "iris", **UPLOAD, "version_id": version_id}
        verdicts.append(
            validate(request, data_bucket="data", models_bucket="models", s3=s3, runs=runs, now=now)
        )

    assert verdicts[0]["reason"].startswith(
        "column length: the values have drifted from the champion's training data: PSI "
    )
    assert verdicts[1]["accepted"]
    facts = json.loads(s3.text("models", f"runs/{run_id}/champion/champion.json"))
    assert [one["psi"] for one in facts["drift"]] == [0, 0]
    assert s3.text("models", f"runs/{run_id}/champion/model.tar.gz") == "model"


def test_a_bad_dataset_is_quarantined_with_its_reason(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    upload(s3, GOOD + b"11,setosa\n")
    run_id = claim_upload(runs, now)["run_id"]

    verdict = validate_upload(s3, runs, now, run_id=run_id)

    assert (verdict["accepted"], verdict["train_uri"]) == (False, None)
    assert verdict["reason"] == "line 4, column length: 11 is above the maximum 10"
    folder = f"quarantine/iris/{run_id}"
    assert s3.text("data", f"{folder}/may.csv").encode() == GOOD + b"11,setosa\n"
    reason = json.loads(s3.text("data", f"{folder}/reason.json"))
    assert reason["reason"] == verdict["reason"]
    assert reason["problems"] == [
        {
            "message": "11 is above the maximum 10",
            "line": 4,
            "column": "length",
            "value": "11",
            "bound": "max 10",
        }
    ]
    assert not [key for bucket, key in s3.objects if key.startswith("runs/")]


def evaluation(sha256: str, **changes: Any) -> dict[str, Any]:
    return {
        "multiclass_classification_metrics": {
            "accuracy": {"value": 0.95, "standard_deviation": 0.01},
            "log_loss": {"value": 0.2, "standard_deviation": 0.01},
            "confusion_matrix": {"setosa": {"setosa": 1}},
        },
        "parity": {"difference": 1e-6, "tolerance": 1e-4},
        "gates": [{"name": "accuracy", "passed": True, "message": "fine"}],
        "model_sha256": sha256,
        **changes,
    }


def judge_candidate(s3: FakeS3, runs: RunsTable, now: datetime, **changes: Any) -> dict[str, Any]:
    upload(s3, GOOD)
    run_id = claim_upload(runs, now)["run_id"]
    validate_upload(s3, runs, now, run_id=run_id)
    s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"model")
    sha256 = hash_latest("s3://models/model.tar.gz", s3=s3).sha256
    content = json.dumps(evaluation(sha256, **changes)).encode()
    s3.put_object(Bucket="models", Key="evaluation.json", Body=content)
    request = {
        "run_id": run_id,
        "model": "iris",
        "evaluation_uri": "s3://models/evaluation.json",
        "model_uri": "s3://models/model.tar.gz",
    }
    return judge(request, models_bucket="models", s3=s3, runs=runs, now=now)


def test_a_good_candidate_is_accepted_with_its_evidence(s3: FakeS3, runs: RunsTable, now: datetime) -> None:
    verdict = judge_candidate(s3, runs, now)

    assert verdict["accepted"]
    assert verdict["metrics"] == {"accuracy": 0.95, "log_loss": 0.2}
    assert len(verdict["evaluation_sha256"]) == 64
    (run,) = runs.all()
    assert (run["metrics"], run["parity"]) == (verdict["metrics"], {"difference": 1e-6, "tolerance": 1e-4})


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"accuracy": {"value": 0.89}, "log_loss": {"value": 0.2}}, "accuracy 0.89 is below the minimum 0.9"),
        ({"accuracy": {"value": 0.95}, "log_loss": {"value": 0.6}}, "log_loss 0.6 is above the maximum 0.5"),
        ({"accuracy": {"value": 0.95}}, "log_loss was not measured"),
        (
            {"accuracy": {"value": float("nan")}, "log_loss": {"value": 0.2}},
            "accuracy nan is below the minimum",
        ),
    ],
)
def test_a_gate_that_the_image_left_out_is_judged_all_the_same(
    metrics: Any, reason: str, s3: FakeS3, runs: RunsTable, now: datetime
) -> None:
    verdict = judge_candidate(s3, runs, now, multiclass_classification_metrics=metrics, gates=[])

    assert not verdict["accepted"]
    assert verdict["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gates": [{"name": "golden", "passed": False, "message": "wrong label"}]}, "wrong label"),
        ({"model_sha256": "other"}, "the evaluation is of model other, not of "),
        ({"parity": {"difference": 0.1}}, "parity 0.1 is above the maximum 0.0001"),
        ({"parity": {}}, "parity was not measured"),
    ],
)
def test_a_candidate_is_refused_in_words(
    changes: Any, reason: str, s3: FakeS3, runs: RunsTable, now: datetime
) -> None:
    verdict = judge_candidate(s3, runs, now, **changes)

    assert not verdict["accepted"]
    assert verdict["reason"].startswith(reason)


def test_a_missed_gate_is_named_once() -> None:
    report = evaluation("sha", gates=[{"name": "accuracy", "passed": False, "message": "accuracy breaks"}])
    report["multiclass_classification_metrics"]["accuracy"]["value"] = 0.1

    reasons = objections(report, model=MODEL, model_sha256="sha", champion=Champion(None, None))

    assert reasons == ["accuracy breaks"]


def test_the_open_gate_shows_the_run_waiting(runs: RunsTable, now: datetime) -> None:
    run_id = claim_upload(runs, now)["run_id"]
    request = {"run_id": run_id, "task_token": "t", "model_package_arn": "arn", "smoke": {"passed": True}}

    open_gate(request, runs=runs, now=now)

    run = runs.get(run_id)
    assert (run["status"], run["task_token"], run["smoke"]) == ("WaitingForApproval", "t", {"passed": True})


@pytest.mark.parametrize("uri", ["http://bucket/key", "s3://bucket", "s3://bucket/", "/bucket/key"])
def test_what_is_no_address_in_s3_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="is not the address of an object in S3"):
        parse_uri(uri)


def test_a_bucket_without_versions_is_refused() -> None:
    class Unversioned(FakeS3):
        def get_object(self, **request: Any) -> dict[str, Any]:  # noqa: ARG002
            return {"Body": io.BytesIO(b"")}

    with pytest.raises(UsageError, match="keeps no versions"):
        hash_latest("s3://bucket/key", s3=Unversioned())
