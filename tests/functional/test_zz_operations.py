"""What watches over an environment: drift, time-to-live. Last of all: staging's endpoint goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ci_job import job_environment
from kept_demo import Deployment, run_mlops
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

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


def read_inputs(machines: Any) -> dict[str, Any]:
    """The input of each execution of a retraining, by its ARN."""
    found: dict[str, Any] = {}
    for machine in machines.list_state_machines()["stateMachines"]:
        if "-retraining-" in machine["name"]:
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
