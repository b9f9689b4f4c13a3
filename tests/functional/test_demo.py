"""The story: a dataset upload becomes an approved production endpoint, on the real Terraform."""

from __future__ import annotations

import pytest
from kept_demo import Deployment


def test_every_step_did_what_it_says(deployment: Deployment) -> None:
    steps = {step["name"]: step["ok"] for step in deployment.demo["steps"]}

    assert all(steps.values())
    assert {"core", "apply", "second plan", "retrain", "approval", "release", "quarantine"} <= set(steps)
    assert deployment.demo["runtime"] == deployment.runtime


def test_the_broken_upload_is_quarantined_with_its_reason(deployment: Deployment) -> None:
    assert "line 4" in deployment.demo["quarantined"]
    assert "a lot" in deployment.demo["quarantined"]


def test_production_answers_any_aws_client(deployment: Deployment) -> None:
    status = deployment.mlops("status", "--env", "production", "--json").json

    runtime = deployment.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName=status["endpoint"], ContentType="text/csv", Accept="text/csv", Body=b"5.1,3.5,1.4,0.2\n"
    )

    assert answer["Body"].read().decode().split() == ["setosa"]


def test_status_names_what_runs_and_where_it_came_from(deployment: Deployment) -> None:
    status = deployment.mlops("status", "--env", "pro", "--json").json

    assert deployment.demo["run_id"] in status["endpoint_config"]
    assert status["image_digest"].startswith("sha256:")
    assert len(status["dataset_sha256"]) == 64
    assert status["dataset_version_id"]
    assert status["model_package"].startswith("arn:aws:sagemaker:")
    assert (status["uploaded_by"], status["approved_by"]) == ("alice", "bob")
    assert status["in_service_since"]


@pytest.mark.parametrize("profile", ["uploader", "approver"])
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_people_may_ask_what_serves(deployment: Deployment, profile: str, environment: str) -> None:
    status = deployment.mlops("status", "--env", environment, "--json", profile=profile)

    assert status.exit_code == 0, status.stderr


def test_two_event_routes_make_one_training_job(deployment: Deployment) -> None:
    run_id = deployment.demo["run_id"]
    machines = deployment.client("stepfunctions")
    retraining = next(
        machine["stateMachineArn"]
        for machine in machines.list_state_machines()["stateMachines"]
        if "retraining" in machine["name"]
    )
    executions = machines.list_executions(stateMachineArn=retraining)["executions"]
    jobs = deployment.client("sagemaker").list_training_jobs(NameContains=run_id)["TrainingJobSummaries"]

    assert len(executions) >= 2
    assert len(jobs) == 1


def test_a_run_is_made_again_from_its_lineage_with_equal_predictions(deployment: Deployment) -> None:
    done = deployment.mlops("reproduce", deployment.demo["run_id"], "--json", profile="uploader")

    assert done.exit_code == 0, done.stderr
    assert done.json["equal"]
    assert done.json["comparison"]["identical"]


def test_history_tells_who_approved_what(deployment: Deployment) -> None:
    history = deployment.mlops("history", "--env", "production", "--json", profile="approver")

    assert history.exit_code == 0, history.stderr
    releases = [entry["body"] for entry in history.json["entries"] if entry["kind"] == "release"]
    approvers = {body["run_id"]: body["details"]["release"]["approved_by"] for body in releases}
    assert approvers == {deployment.demo["run_id"]: "bob"}


def test_trail_files_of_the_upload_reach_the_log_bucket(deployment: Deployment) -> None:
    s3 = deployment.client("s3")
    logs = next(b["Name"] for b in s3.list_buckets()["Buckets"] if "staging-logs" in b["Name"])
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=logs, Prefix="").get("Contents", [])]

    assert any("/CloudTrail/" in key and key.endswith(".json.gz") for key in keys)
