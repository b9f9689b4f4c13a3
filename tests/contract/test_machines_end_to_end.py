"""Both state machines on the local AWS, with real jobs and endpoints: the story, and each way it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from local_aws import wait_until
from machine_stage import EVALUATE, GOOD, MODEL, PROGRAMS, Model, Stage

from localaws.settings import ACCOUNT_ID, REGION
from pipeline.errors import ApprovalError
from pipeline.gate import Gate, find_waiting_run


@pytest.fixture
def make_model(stage: Stage, build_image: Callable[..., str]) -> Callable[..., Model]:
    """A model on the stage; programs and placeholders may differ from the good ones."""

    def make(programs: dict[str, str] | None = None, **changes: Any) -> Model:
        return Model(stage, build_image({**PROGRAMS, **(programs or {})}), **changes)

    return make


def run_to_gate(model: Model) -> tuple[str, dict[str, Any]]:
    """The execution of a good dataset's run, and the run, waiting for a person."""
    upload = model.upload()
    execution = model.start(model.retraining_arn, upload)
    return execution, model.wait_for_gate(model.run_id(upload))


def test_a_dataset_becomes_an_approved_endpoint(make_model: Callable[..., Model]) -> None:
    model = make_model()
    execution, run = run_to_gate(model)
    assert run["smoke"]["passed"]
    assert run["release_staging"]["status"] == "InService"
    assert model.packages() == ["PendingManualApproval"]

    model.sign(run)
    assert model.answer(run, "Approved")["outcome"] == "answered"
    assert model.end(execution).last_state == "Approved"
    release = {"model_package_arn": run["model_package_arn"]}
    ended = model.end(model.start(model.release_arns["production"], release))

    assert (ended.status, ended.last_state) == ("SUCCEEDED", "Done")
    answer = model.aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=model.endpoint_name("production"), ContentType="application/json", Body=b"{}"
    )
    assert json.loads(answer["Body"].read()) == {"predictions": [{"label": "cat"}]}
    entries = [entry for entry in model.stage.ledger() if entry.body["run_id"] == run["run_id"]]
    assert [(entry.kind, entry.body["environment"], entry.body["status"]) for entry in entries] == [
        ("dataset", "staging", "Accepted"),
        ("evaluation", "staging", "Accepted"),
        ("release", "staging", "InService"),
        ("approval", "staging", "Approved"),
        ("release", "production", "InService"),
    ]

    again = model.end(model.start(model.release_arns["production"], release))
    assert (again.status, again.last_state) == ("FAILED", "Refused")
    assert "an approval releases once" in again.cause


def test_a_candidate_worse_than_what_production_serves_is_never_registered(
    make_model: Callable[..., Model],
) -> None:
    """The evaluation program says of every candidate that it is worse than the champion, if there is one."""
    model = make_model()
    execution, champion = run_to_gate(model)
    model.sign(champion)
    model.answer(champion, "Approved")
    model.end(execution)
    release = {"model_package_arn": champion["model_package_arn"]}
    assert model.end(model.start(model.release_arns["production"], release)).last_state == "Done"

    upload = model.upload(GOOD + b"3,hen\n")
    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.last_state == "RejectedByGates"
    run = model.stage.runs.get(model.run_id(upload))
    assert run["reason"] == f"accuracy is worse by 0.1 or more beside the champion {champion['run_id']}"
    assert run["champion_run_id"] == champion["run_id"]
    assert len(model.packages()) == 1


def test_one_upload_reported_five_times_is_one_run(make_model: Callable[..., Model]) -> None:
    model = make_model()
    upload = model.upload()

    executions = [model.start(model.retraining_arn, upload) for _ in range(5)]
    model.wait_for_gate(model.run_id(upload))

    machines = model.aws.client("stepfunctions")
    over = [machines.describe_execution(executionArn=arn)["status"] for arn in executions]
    assert sorted(over) == ["RUNNING", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    jobs = model.aws.client("sagemaker").list_training_jobs(NameContains=model.name)["TrainingJobSummaries"]
    assert len(jobs) == len(model.packages()) == 1


def test_an_older_version_that_arrives_after_a_newer_one_is_superseded(
    make_model: Callable[..., Model],
) -> None:
    model = make_model()
    older, newer = model.upload(), model.upload(GOOD + b"3,hen\n")
    model.start(model.retraining_arn, newer)
    model.wait_for_gate(model.run_id(newer))

    ended = model.end(model.start(model.retraining_arn, older))

    assert (ended.status, ended.last_state) == ("SUCCEEDED", "Superseded")
    run = model.stage.runs.get(model.run_id(older))
    assert run["status"] == "Superseded"
    assert run["reason"].endswith(f"came before this one: see run {model.run_id(newer)}")
    jobs = model.aws.client("sagemaker").list_training_jobs(NameContains=model.name)["TrainingJobSummaries"]
    assert len(jobs) == len(model.packages()) == 1
    end = [entry for entry in model.stage.ledger() if entry.body["run_id"] == run["run_id"]]
    assert [(entry.kind, entry.body["status"]) for entry in end] == [("dataset", "Superseded")]


def subscribe(model: Model, name: str, *, uploaded_by: str) -> str:
    """The URL of a queue that hears of one person's datasets that are refused."""
    sqs, arn = model.aws.client("sqs"), f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    url: str = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    wanted = {"event": ["dataset refused"], "uploaded_by": [uploaded_by], "model": [model.name]}
    model.aws.client("sns").subscribe(
        TopicArn=model.stage.alerts_topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"FilterPolicy": json.dumps(wanted)},
    )
    return url


def test_who_uploaded_a_dataset_that_is_refused_is_told_what_is_wrong(
    make_model: Callable[..., Model], name: str
) -> None:
    model = make_model()
    hers = subscribe(model, name, uploaded_by="alice")
    his = subscribe(model, f"{name}-bob", uploaded_by="bob")
    sqs = model.aws.client("sqs")

    upload = model.upload(GOOD + b"12,cat\n")
    ended = model.end(model.start(model.retraining_arn, upload))
    (message,) = sqs.receive_message(QueueUrl=hers, WaitTimeSeconds=10)["Messages"]

    assert (ended.status, ended.last_state) == ("SUCCEEDED", "Quarantined")
    told = json.loads(json.loads(message["Body"])["Message"])
    folder = f"s3://{upload['bucket']}/quarantine/{model.name}/{model.run_id(upload)}"
    assert told["first"].pop("message")
    assert told == {
        "event": "dataset refused",
        "run_id": model.run_id(upload),
        "model": model.name,
        "uploaded_by": "alice",
        **{part: upload[part] for part in ("bucket", "key", "version_id")},
        "reason_uri": f"{folder}/reason.json",
        "problems": 1,
        "first": {"line": 4, "column": "length", "value": "12", "bound": told["first"]["bound"]},
    }
    assert "10" in told["first"]["bound"]
    assert "Messages" not in sqs.receive_message(QueueUrl=his)


def test_a_notice_that_nobody_takes_fails_the_execution_of_a_recorded_run(
    make_model: Callable[..., Model],
) -> None:
    model = make_model(alerts_topic_arn="arn:aws:sns:us-east-1:123456789012:there-is-none")
    upload = model.upload(GOOD + b"12,cat\n")

    ended = model.end(model.start(model.retraining_arn, upload))

    assert (ended.status, ended.error, ended.last_state) == ("FAILED", "NotTold", "NotTold")
    assert model.stage.runs.get(model.run_id(upload))["status"] == "Quarantined"


def test_an_upload_that_no_event_reported_is_found_and_started_once(
    make_model: Callable[..., Model],
) -> None:
    model = make_model()
    upload = model.upload(GOOD + b"12,cat\n")

    first = model.reconcile()
    executions = model.executions()
    ended = [model.end(execution) for execution in executions]
    second = model.reconcile()

    assert first == [model.run_id(upload)]
    assert [execution.last_state for execution in ended] == ["Quarantined"]
    assert model.stage.runs.get(model.run_id(upload))["route"] == "reconciler"
    assert second == []
    assert model.executions() == executions


def test_a_broken_dataset_is_quarantined_and_nothing_else_changes(make_model: Callable[..., Model]) -> None:
    model = make_model()
    upload = model.upload(GOOD + b"12,cat\n")

    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.last_state == "Quarantined"
    run = model.stage.runs.get(model.run_id(upload))
    assert (run["status"], run["reason"]) == (
        "Quarantined",
        "line 4, column length: 12 is above the maximum 10",
    )
    key = f"quarantine/{model.name}/{run['run_id']}/reason.json"
    model.aws.client("s3").head_object(Bucket=model.stage.buckets["data"], Key=key)
    assert model.packages() == []


RAISES = """
import os, pathlib, sys
(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/failure").write_text("the data has no season")
sys.exit(1)
"""
LOW = EVALUATE.replace("0.95", "0.5")
OTHER_MODEL = EVALUATE.replace("hashlib.sha256(archive).hexdigest()", "'another'")


@pytest.mark.parametrize(
    ("programs", "changes", "reason"),
    [
        ({"train": RAISES}, {}, ": Failed: AlgorithmError: the data has no season"),
        (
            {"train": "import time\ntime.sleep(60)\n"},
            {"training_max_runtime_s": 1},
            ": stopped because it ran over its 1 seconds (MaxRuntimeExceeded)",
        ),
        ({"evaluate": "raise SystemExit(1)\n"}, {}, "-eval: Failed: "),
    ],
)
def test_a_job_that_fails_ends_the_run_with_its_own_reason(
    programs: dict[str, str], changes: dict[str, Any], reason: str, make_model: Callable[..., Model]
) -> None:
    model = make_model(programs, **changes)
    upload = model.upload()

    ended = model.end(model.start(model.retraining_arn, upload))

    assert (ended.status, ended.last_state, ended.error) == ("FAILED", "Failed", "RunFailed")
    run = model.stage.runs.get(model.run_id(upload))
    assert (run["status"], run["reason"]) == ("Failed", ended.cause)
    assert reason in ended.cause
    assert model.packages() == []


NO_CAPACITY = (
    "import os, pathlib\n"
    "name, base = os.environ['TRAINING_JOB_NAME'], pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
    "if {failing}:\n"
    "    (base / 'output').mkdir(exist_ok=True)\n"
    "    (base / 'output/failure').write_text('CapacityError: Unable to provision ' + name)\n"
    "    raise SystemExit(1)\n"
)


def test_a_job_without_capacity_is_tried_again_under_a_fresh_name(make_model: Callable[..., Model]) -> None:
    model = make_model({"train": NO_CAPACITY.format(failing="not name.endswith('-3')") + PROGRAMS["train"]})

    _, run = run_to_gate(model)

    jobs = model.aws.client("sagemaker").list_training_jobs(NameContains=run["run_id"])
    found = {job["TrainingJobName"]: job["TrainingJobStatus"] for job in jobs["TrainingJobSummaries"]}
    name = run["run_id"]
    assert found == {name: "Failed", f"{name}-2": "Failed", f"{name}-3": "Completed"}


def test_attempts_are_bounded_and_the_last_ones_reason_is_the_runs(make_model: Callable[..., Model]) -> None:
    model = make_model({"train": NO_CAPACITY.format(failing="True")}, training_attempts=2)
    upload = model.upload()
    name = model.run_id(upload)

    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.last_state == "Failed"
    reason = model.stage.runs.get(name)["reason"]
    assert f"Unable to provision {name}-2" in reason
    assert reason == ended.cause


def jobs_of(model: Model, run_id: str) -> dict[str, str]:
    """The status of each of a run's jobs, by name."""
    sagemaker = model.aws.client("sagemaker")
    training = sagemaker.list_training_jobs(NameContains=run_id)["TrainingJobSummaries"]
    processing = sagemaker.list_processing_jobs(NameContains=run_id)["ProcessingJobSummaries"]
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in training} | {
        job["ProcessingJobName"]: job["ProcessingJobStatus"] for job in processing
    }


def test_jobs_whose_making_nobody_heard_of_are_adopted(make_model: Callable[..., Model]) -> None:
    model = make_model(unheard=("Train", "Evaluate"))

    _, run = run_to_gate(model)

    name = run["run_id"]
    assert jobs_of(model, name) == {name: "Completed", f"{name}-eval": "Completed"}
    assert model.packages() == ["PendingManualApproval"]


def test_an_adopted_job_that_fails_ends_the_run_with_its_own_reason(make_model: Callable[..., Model]) -> None:
    model = make_model({"train": RAISES}, unheard=("Train",))
    upload = model.upload()
    name = model.run_id(upload)

    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.cause.startswith(f"Training job {name}: Failed: AlgorithmError: the data has no season")
    assert jobs_of(model, name) == {name: "Failed"}


def test_an_adopted_job_without_capacity_is_tried_again_under_a_fresh_name(
    make_model: Callable[..., Model],
) -> None:
    train = NO_CAPACITY.format(failing="not name.endswith('-2')") + PROGRAMS["train"]
    model = make_model({"train": train}, unheard=("Train",))

    _, run = run_to_gate(model)

    name = run["run_id"]
    assert jobs_of(model, name) == {name: "Failed", f"{name}-2": "Completed", f"{name}-eval": "Completed"}


UPLOADED = "States.Format('s3://{}/{}', $.bucket, $.key)"


def s3_source(call: dict[str, Any]) -> dict[str, Any]:
    source: dict[str, Any] = call["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    return source


# The call that a stranger made, and what differs in it.
STRANGERS: dict[str, tuple[str, Callable[[dict[str, Any], str], object]]] = {
    "training-image": (
        "Train",
        lambda call, image: call["AlgorithmSpecification"].update(TrainingImage=image),
    ),
    "other-data": ("Train", lambda call, _: s3_source(call).update({"S3Uri.$": UPLOADED})),
    "no-data": ("Train", lambda call, _: call.pop("InputDataConfig")),
    "evaluation-image": (
        "Evaluate",
        lambda call, image: call["AppSpecification"].update(ImageUri=image),
    ),
    "other-model": (
        "Evaluate",
        lambda call, _: call["ProcessingInputs"][0]["S3Input"].update({"S3Uri.$": "$.dataset.train_uri"}),
    ),
    "no-model": ("Evaluate", lambda call, _: call.pop("ProcessingInputs")),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_job_that_another_made_under_the_runs_name_is_not_adopted(
    what: str, make_model: Callable[..., Model], build_image: Callable[..., str]
) -> None:
    state, change = STRANGERS[what]
    image = build_image({**PROGRAMS, "train": f"{PROGRAMS['train']}# another's\n"})
    model = make_model(unheard=(state,), stranger=lambda call: change(call, image))
    upload = model.upload()

    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.last_state == "Failed"
    assert ended.cause.startswith("SageMaker.ResourceInUseException: ")
    assert model.run_id(upload) in ended.cause
    assert model.stage.runs.get(model.run_id(upload))["status"] == "Failed"
    assert model.packages() == []


def test_a_run_that_is_stopped_stops_its_job_and_gives_back_its_claim(
    make_model: Callable[..., Model],
) -> None:
    model = make_model(
        {
            "train": "import os, time\n"
            "if not os.environ['TRAINING_JOB_NAME'].endswith('-r2'):\n    time.sleep(600)\n"
            + PROGRAMS["train"]
        }
    )
    machines, sagemaker = model.aws.client("stepfunctions"), model.aws.client("sagemaker")
    upload = model.upload()
    name = model.run_id(upload)
    execution = model.start(model.retraining_arn, upload)

    def status() -> str | None:
        jobs = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
        return jobs[0]["TrainingJobStatus"] if jobs else None

    wait_until(lambda: status() == "InProgress", timeout_s=60)
    assert model.reconcile() == []
    machines.stop_execution(executionArn=execution, error="NotThisOne", cause="wrong file")
    wait_until(lambda: status() == "Stopped", timeout_s=60)

    # What comes late changes nothing; the reconciler lets go of the run and does not begin it again.
    assert model.reconcile() == []
    assert model.end(model.start(model.retraining_arn, upload)).last_state == "Duplicate"
    run = model.stage.runs.get(name)
    assert (run["status"], run["reason"]) == (
        "Stopped",
        "the execution was stopped: NotThisOne: wrong file",
    )

    entries = [entry for entry in model.stage.ledger() if entry.body["run_id"] == name]
    assert [(entry.kind, entry.body["status"]) for entry in entries] == [
        ("dataset", "Accepted"),
        ("run", "Stopped"),
    ]

    carol = upload["uploaded_by"].replace("alice", "carol")
    model.start(model.retraining_arn, {**upload, "route": "hand", "uploaded_by": carol})
    run = model.wait_for_gate(name)
    assert run["uploaded_by"] == "alice"
    assert f"/{name}-r2/" in run["model_uri"]


def test_a_run_that_was_stopped_at_its_gate_takes_no_answer_and_is_not_taken_up(
    make_model: Callable[..., Model],
) -> None:
    """Its model may be in service on staging, under the run's name."""
    model = make_model()
    upload = model.upload()
    name = model.run_id(upload)
    model.start(model.retraining_arn, upload)
    states = model.aws.client("stepfunctions")
    gate = cast(Gate, SimpleNamespace(runs=model.stage.runs, states=states))
    run = model.wait_for_gate(name)
    assert find_waiting_run(gate, name) == run

    states.stop_execution(executionArn=run["execution_arn"], cause="wrong file")

    with pytest.raises(ApprovalError, match=r"its execution ended \(ExecutionAborted\)"):
        find_waiting_run(gate, name)
    model.reconcile()
    assert model.stage.runs.get(name)["status"] == "Stopped"
    assert model.end(model.start(model.retraining_arn, {**upload, "route": "hand"})).last_state == "Duplicate"


def test_a_spot_job_keeps_its_checkpoints_with_the_run(make_model: Callable[..., Model]) -> None:
    models = "s3://{}/runs/{{}}/checkpoints"
    stage_bucket = "stage-models"
    keep = f"States.Format('{models.format(stage_bucket)}', $.claim.run_id)"
    model = make_model(
        {
            "train": "import os, pathlib\n"
            "base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
            "(base / 'checkpoints/one').write_text('1')\n" + PROGRAMS["train"]
        },
        training_spot_keys=f'"EnableManagedSpotTraining": true, "CheckpointConfig": {{"S3Uri.$": "{keep}"}},',
        training_wait_key=', "MaxWaitTimeInSeconds": 7200',
    )

    _, run = run_to_gate(model)

    job = model.aws.client("sagemaker").describe_training_job(TrainingJobName=run["run_id"])
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    kept = model.aws.client("s3").list_objects_v2(
        Bucket=stage_bucket, Prefix=f"runs/{run['run_id']}/checkpoints"
    )
    assert [entry["Key"].rpartition("/")[2] for entry in kept["Contents"]] == ["one"]


@pytest.mark.parametrize(
    ("evaluate", "reason"),
    [(LOW, "accuracy 0.5 is below the minimum 0.9"), (OTHER_MODEL, "the evaluation is of model another")],
)
def test_a_candidate_that_misses_a_gate_is_never_registered(
    evaluate: str, reason: str, make_model: Callable[..., Model]
) -> None:
    model = make_model({"evaluate": evaluate})
    upload = model.upload()

    ended = model.end(model.start(model.retraining_arn, upload))

    assert (ended.status, ended.last_state) == ("SUCCEEDED", "RejectedByGates")
    assert model.stage.runs.get(model.run_id(upload))["reason"].startswith(reason)
    assert model.packages() == []


def test_an_endpoint_that_never_gets_healthy_leaves_nothing_half_made(
    make_model: Callable[..., Model],
) -> None:
    model = make_model({"serve": "raise SystemExit('no model to serve')\n"})
    upload = model.upload()

    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.last_state == "Failed"
    assert f"Endpoint {model.endpoint_name()} is Failed: " in ended.cause
    assert model.release_resources() == {"models": [], "configs": [], "endpoints": []}
    assert model.packages() == ["Rejected"]


def test_an_endpoint_that_takes_too_long_is_taken_back(make_model: Callable[..., Model]) -> None:
    model = make_model({"serve": "import time\ntime.sleep(6)\n" + PROGRAMS["serve"]}, timeout_s=1)
    upload = model.upload()

    ended = model.end(model.start(model.retraining_arn, upload))

    assert "was not in service within 1 seconds; it is Creating" in ended.cause
    assert model.release_resources() == {"models": [], "configs": [], "endpoints": []}


def test_a_failed_smoke_test_brings_the_old_configuration_back(make_model: Callable[..., Model]) -> None:
    model = make_model()
    run_to_gate(model)
    before = model.release_resources()
    model.configure({**MODEL, "golden": [{"instance": {"length": 1}, "expect": {"label": "hen"}}]})

    upload = model.upload(GOOD + b"3,hen\n")
    ended = model.end(model.start(model.retraining_arn, upload))

    assert ended.cause.endswith("golden request 1: label 'cat' instead of 'hen'.")
    assert model.release_resources() == before
    endpoint = model.aws.client("sagemaker").describe_endpoint(EndpointName=model.endpoint_name())
    assert [endpoint["EndpointConfigName"]] == before["configs"]
    assert sorted(model.packages()) == ["PendingManualApproval", "Rejected"]


def test_a_gate_that_nobody_answers_expires_and_its_answer_is_dead(make_model: Callable[..., Model]) -> None:
    model = make_model(approval_timeout_s=1)
    execution, run = run_to_gate(model)

    assert model.end(execution).last_state == "Expired"
    assert model.packages() == ["Rejected"]
    model.sign(run)
    assert model.answer(run, "Approved")["outcome"] == "no gate"
    late = model.end(
        model.start(model.release_arns["production"], {"model_package_arn": run["model_package_arn"]})
    )
    assert (late.last_state, late.error) == ("Refused", "ReleaseRefused")
    assert "is Expired and its package Approved; only an approved one is released" in late.cause


def test_a_rejection_ends_the_run_and_leaves_production_alone(make_model: Callable[..., Model]) -> None:
    model = make_model()
    execution, run = run_to_gate(model)
    model.stage.approver("sagemaker").update_model_package(
        ModelPackageArn=run["model_package_arn"],
        ModelApprovalStatus="Rejected",
        ApprovalDescription="rejected by bob: too slow",
    )

    model.answer(run, "Rejected")

    assert model.end(execution).last_state == "Rejected"
    assert model.stage.runs.get(run["run_id"])["reason"] == "too slow"
    assert model.release_resources("production") == {"models": [], "configs": [], "endpoints": []}


def test_a_click_in_the_console_releases_nothing(make_model: Callable[..., Model]) -> None:
    model = make_model()
    _, run = run_to_gate(model)
    arn = run["model_package_arn"]
    model.stage.approver("sagemaker").update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved"
    )

    assert "has no signed approval" in model.answer(run, "Approved")["errorMessage"]
    ended = model.end(model.start(model.release_arns["production"], {"model_package_arn": arn}))

    assert ended.last_state == "Refused"
    assert "has no signed approval" in ended.cause
    assert model.release_resources("production") == {"models": [], "configs": [], "endpoints": []}
    assert model.stage.runs.get(run["run_id"])["status"] == "WaitingForApproval"


def test_the_author_named_by_a_lying_approver_is_not_believed(make_model: Callable[..., Model]) -> None:
    model = make_model()
    _, run = run_to_gate(model)
    model.sign(run, author="carol")

    ended = model.end(
        model.start(model.release_arns["production"], {"model_package_arn": run["model_package_arn"]})
    )

    assert "names carol as author, but alice uploaded the dataset" in ended.cause


def test_two_datasets_at_once_are_both_staged_one_after_the_other(make_model: Callable[..., Model]) -> None:
    model = make_model()
    uploads = [model.upload(file="may.csv"), model.upload(GOOD + b"3,hen\n", file="june.csv")]

    for upload in uploads:
        model.start(model.retraining_arn, upload)

    for upload in uploads:
        model.wait_for_gate(model.run_id(upload))
    assert model.packages() == ["PendingManualApproval", "PendingManualApproval"]
