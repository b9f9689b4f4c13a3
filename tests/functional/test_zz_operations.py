"""What watches over an environment: drift, time-to-live. Last of all: staging's endpoint goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ci_job import job_environment
from kept_demo import ROOT, Deployment, production, run_mlops
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from pipeline.artefact import Version
from pipeline.runs_table import run_id

# Operations are the same whichever way images run; one runtime is enough.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")


def endpoints(deployment: Deployment) -> list[str]:
    found = deployment.client("sagemaker").list_endpoints()["Endpoints"]
    return sorted(endpoint["EndpointName"] for endpoint in found)


@pytest.mark.parametrize("target", [("core",), ("--env", "staging"), ("--env", "production")])
def test_after_a_release_nothing_has_drifted(
    deployment: Deployment,
    ci: dict[str, str],
    elsewhere: tuple[Path, dict[str, str]],
    tmp_path: Path,
    target: tuple[str, ...],
) -> None:
    """Seen by a job that only reads, on a machine that has built nothing."""
    checkout, variables = elsewhere
    environ = job_environment(deployment, ci["mlops-ci-plan"], tmp_path, subject="environment:plan")

    drift = run_mlops("drift", *target, "--json", environ=environ | variables, cwd=checkout)

    assert drift.exit_code == 0, drift.stdout + drift.stderr
    assert drift.json["differences"] == []


def test_what_was_changed_by_hand_is_named(deployment: Deployment) -> None:
    alarms = deployment.client("cloudwatch")
    alarm = alarms.describe_alarms(AlarmNames=["mlops-production-iris-5xx"])["MetricAlarms"][0]
    taken = {
        name: alarm[name]
        for name in (
            *("AlarmName", "AlarmDescription", "AlarmActions", "Namespace", "MetricName", "Dimensions"),
            *("Statistic", "Period", "EvaluationPeriods", "ComparisonOperator", "TreatMissingData"),
        )
    }
    alarms.put_metric_alarm(**taken, Threshold=1000)

    drift = deployment.mlops("drift", "--env", "production", "--json")
    alarms.put_metric_alarm(**taken, Threshold=alarm["Threshold"])
    mended = deployment.mlops("drift", "--env", "production", "--json")

    assert drift.exit_code == 13
    assert [difference["reason"] for difference in drift.json["differences"]] == ["differs"]
    assert "aws_cloudwatch_metric_alarm.errors" in drift.json["differences"][0]["resource"]
    assert mended.exit_code == 0, mended.stdout


def test_what_is_written_beside_the_datasets_starts_nothing(deployment: Deployment, tmp_path: Path) -> None:
    s3, machines = deployment.client("s3"), deployment.client("stepfunctions")
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "-staging-" in bucket["Name"]]
    before = read_inputs(machines)
    for bucket in buckets:
        for key in ("quarantine/iris/x.csv", "outputs/x.csv", "logs/datasets/iris/x.csv", "datasets/x.csv"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"a\n")
    # Delivered after all of these: where its run is, the others would be.
    last = tmp_path / "last.csv"
    last.write_text("no dataset\n")

    uploaded = deployment.mlops("upload", str(last), "--json", profile="uploader").json
    run = deployment.mlops("watch", uploaded["run_id"], "--json").json
    started = [value for arn, value in read_inputs(machines).items() if arn not in before]

    assert len(buckets) >= 3
    assert run["status"] == "Quarantined"
    assert {value["key"] for value in started} == {uploaded["key"]}


def test_an_upload_that_no_event_reports_is_found_by_the_reconciler(
    deployment: Deployment, tmp_path: Path
) -> None:
    rules = deployment.client("events")
    names = ["mlops-staging-upload-iris", "mlops-staging-upload-trail-iris"]
    target = rules.list_targets_by_rule(Rule="mlops-staging-reconciler")["Targets"][0]
    # As the schedule asks it, but for the two minutes that it gives to events.
    request = {**json.loads(target["Input"]), "grace_s": 0}
    file = tmp_path / "unreported.csv"
    file.write_text("no dataset\n")
    for name in names:
        rules.disable_rule(Name=name)
    try:
        uploaded = deployment.mlops("upload", str(file), "--json", profile="uploader").json
        answer = deployment.client("lambda").invoke(
            FunctionName=target["Arn"], Payload=json.dumps(request).encode()
        )
        run = deployment.mlops("watch", uploaded["run_id"], "--json").json
    finally:
        for name in names:
            rules.enable_rule(Name=name)

    assert json.loads(answer["Payload"].read())["started"] == [uploaded["run_id"]]
    assert (run["status"], run["route"]) == ("Quarantined", "reconciler")


def test_a_run_that_is_stopped_is_let_go_by_the_reconciler(deployment: Deployment) -> None:
    s3, functions = deployment.client("s3"), deployment.client("lambda")
    target = deployment.client("events").list_targets_by_rule(Rule="mlops-staging-reconciler")["Targets"][0]
    bucket = next(b["Name"] for b in s3.list_buckets()["Buckets"] if "-staging-data-" in b["Name"])
    key, content = "datasets/iris/wrong.csv", (ROOT / "model_src/models/iris/train.csv").read_bytes()
    version_id = s3.put_object(Bucket=bucket, Key=key, Body=content)["VersionId"]
    name = run_id("iris", Version(bucket, key, version_id))

    # At the gate, where no job runs: what a stopped job's stop needs is a matter of the contract tests.
    run = deployment.mlops("watch", name, "--json").json
    assert run["status"] == "WaitingForApproval"
    deployment.client("stepfunctions").stop_execution(
        executionArn=run["execution_arn"], cause="the wrong file"
    )
    answer = functions.invoke(FunctionName=target["Arn"], Payload=target["Input"].encode())
    stopped = deployment.mlops("show", name, "--json").json["run"]

    # By this pass, or by one of the schedule's.
    assert "FunctionError" not in answer
    assert (stopped["status"], stopped["reason"]) == ("Stopped", "the execution was stopped: the wrong file")


def test_an_upload_that_nobody_could_be_told_of_is_kept_alarmed_and_redriven_once(
    deployment: Deployment, tmp_path: Path
) -> None:
    machines = deployment.client("stepfunctions")
    dataset = tmp_path / "nobody-is-told.csv"
    dataset.write_text("no dataset\n")

    def letters(*options: str) -> list[dict[str, str]]:
        found = deployment.mlops("redrive", *options, "--json").json["letters"]
        return [letter for letter in found if dataset.name in letter["about"]]

    with refused_uploads(deployment):
        uploaded = deployment.mlops("upload", str(dataset), "--json", profile="uploader").json
        # Of S3's event and of CloudTrail's.
        wait_for(lambda: len(letters("--dry-run")), 2)
        wait_for(lambda: alarm_state(deployment, "mlops-staging-dead-letters"), "ALARM")
    redriven = letters()
    run = deployment.mlops("watch", uploaded["run_id"], "--json").json
    same = [arn for arn, value in read_inputs(machines).items() if value["key"] == uploaded["key"]]
    for execution in same:
        wait_for(partial(has_ended, machines, execution), True)

    assert [letter["outcome"] for letter in redriven] == ["handed on", "handed on"]
    assert {letter["error"].split(":")[0] for letter in redriven} == {"NO_PERMISSIONS"}
    assert (run["status"], run["uploaded_by"]) == ("Quarantined", "alice")
    # Whoever was first: one of the two, or the reconciler.
    assert [was_validated(machines, arn) for arn in same].count(True) == 1
    assert letters("--dry-run") == []


def test_an_answer_that_was_lost_reaches_its_gate_and_its_release(deployment: Deployment) -> None:
    states = deployment.client("stepfunctions")
    known = production(deployment)["model_package"]
    unknown = f"{known.rsplit('/', 1)[0]}/9999"
    machine = next(
        found["stateMachineArn"]
        for found in states.list_state_machines()["stateMachines"]
        if found["name"] == "mlops-production-release-iris"
    )
    # As Lambda leaves what a function failed on, and as EventBridge leaves what it could not deliver.
    post_letter(deployment, "staging", package=known, attributes={"ErrorMessage": "it failed"})
    post_letter(deployment, "production", package=unknown, attributes={"TARGET_ARN": machine})

    answered = deployment.mlops("redrive", "--env", "staging", "--json").json["letters"]
    released = deployment.mlops("redrive", "--env", "production", "--json").json["letters"]

    assert [letter["outcome"] for letter in answered if known in letter["about"]] == ["handed on"]
    assert [letter["outcome"] for letter in released if unknown in letter["about"]] == ["handed on"]
    inputs = read_inputs(states, "mlops-production-release")
    (execution,) = [arn for arn, given in inputs.items() if given == {"model_package_arn": unknown}]
    wait_for(partial(has_ended, states, execution), True)


def post_letter(
    deployment: Deployment, environment: str, *, package: str, attributes: dict[str, str]
) -> None:
    sqs = deployment.client("sqs")
    event = {"detail": {"ModelPackageArn": package, "ModelApprovalStatus": "Approved"}}
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=f"mlops-{environment}-dead-letters")["QueueUrl"],
        MessageBody=json.dumps(event),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )


@contextmanager
def refused_uploads(deployment: Deployment) -> Iterator[None]:
    """Lets EventBridge no longer take on the role of staging's upload rules, and then again."""
    iam, name = deployment.client("iam"), "mlops-staging-upload-iris"
    trust = json.dumps(iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"])
    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=trust.replace("events.amazonaws.com", "states.amazonaws.com")
    )
    try:
        yield
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)


def wait_for(read: Callable[[], Any], wanted: Any) -> None:
    waiting = Retrying(
        retry=retry_if_result(lambda found: found != wanted),
        stop=stop_after_delay(300),
        wait=wait_fixed(0.5),
    )
    waiting(read)


def has_ended(machines: Any, execution: str) -> bool:
    return bool(machines.describe_execution(executionArn=execution)["status"] != "RUNNING")


def alarm_state(deployment: Deployment, name: str) -> str:
    (alarm,) = deployment.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarm["StateValue"])


def was_validated(machines: Any, execution: str) -> bool:
    """Whether the execution had the claim: a duplicate ends before."""
    pages = machines.get_paginator("get_execution_history").paginate(executionArn=execution)
    return "Validate" in pages.search("events[].stateEnteredEventDetails.name")


def read_inputs(machines: Any, kind: str = "mlops-staging-retraining") -> dict[str, Any]:
    """The input of each execution of such machines, by its ARN."""
    found: dict[str, Any] = {}
    for machine in machines.list_state_machines()["stateMachines"]:
        if machine["name"].startswith(kind):
            pages = machines.get_paginator("list_executions").paginate(
                stateMachineArn=machine["stateMachineArn"]
            )
            for arn in pages.search("executions[].executionArn"):
                if arn:
                    found[arn] = json.loads(machines.describe_execution(executionArn=arn)["input"])
    return found


def test_staging_expires_in_two_rounds_and_production_stays(deployment: Deployment) -> None:
    before = endpoints(deployment)

    first = expire(deployment)
    gone = Retrying(retry=retry_if_result(bool), stop=stop_after_delay(60), wait=wait_fixed(0.2))
    gone(lambda: "mlops-staging-iris" in endpoints(deployment))
    second = expire(deployment)

    assert before == ["mlops-production-iris", "mlops-staging-iris"]
    assert {"kind": "endpoint", "name": "mlops-staging-iris"} in first
    assert {resource["kind"] for resource in second} == {"endpoint configuration", "model"}
    assert endpoints(deployment) == ["mlops-production-iris"]
    history = deployment.mlops("history", "--env", "staging", "--json", profile="approver").json["entries"]
    removed = [entry["body"]["details"]["removed"] for entry in history if entry["kind"] == "expiry"]
    assert removed == [first, second]
    plan = deployment.mlops("plan", "--env", "staging", "--json")
    assert plan.json["empty"], plan.stdout
    assert deployment.mlops("drift", "--env", "staging", "--json").exit_code == 0


def expire(deployment: Deployment) -> list[dict[str, str]]:
    """What the function removes when everything is too old; the schedule gives it 72 hours instead."""
    rules = deployment.client("events")
    rule = rules.describe_rule(Name="mlops-staging-expiry")
    assert (rule["State"], rule["ScheduleExpression"]) == ("ENABLED", "rate(1 hour)")
    target = rules.list_targets_by_rule(Rule="mlops-staging-expiry")["Targets"][0]
    assert json.loads(target["Input"]) == {"ttl_hours": 72}
    answer = deployment.client("lambda").invoke(FunctionName=target["Arn"], Payload=b'{"ttl_hours": 0}')
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, result
    removed: list[dict[str, str]] = result["removed"]
    return removed
