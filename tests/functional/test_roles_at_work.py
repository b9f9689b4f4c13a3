"""Each person and CI does what its role is for, from a machine that has nothing yet but the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from ci_job import job_environment, token
from kept_demo import Deployment, Result, run_mlops

# What the roles may do is the same whichever way images run; one runtime is enough.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")


@pytest.mark.parametrize("profile", ["uploader", "approver"])
def test_people_find_everything_by_the_state_alone(
    deployment: Deployment, tmp_path: Path, profile: str
) -> None:
    run_id = deployment.demo["run_id"]
    commands = [
        ("status", "--env", "staging"),
        ("status", "--env", "production"),
        ("runs",),
        ("watch", run_id),
        ("watch", run_id, "--env", "production"),
    ]
    environ = deployment.environment(profile) | {"MLOPS_BUILD_DIR": str(tmp_path)}

    results = [run_mlops(*command, "--json", environ=environ) for command in commands]

    assert [result.exit_code for result in results] == [0] * len(commands), results


def test_the_uploader_reads_why_a_dataset_was_refused_and_gives_an_upload_up(deployment: Deployment) -> None:
    s3, bucket = deployment.client("s3", profile="uploader"), bucket_of(deployment, "staging-data")
    listing = s3.list_objects_v2(Bucket=bucket, Prefix="quarantine/")["Contents"]
    reason = next(entry["Key"] for entry in listing if entry["Key"].endswith("reason.json"))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="datasets/iris/large.csv")
    s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    assert json.loads(s3.get_object(Bucket=bucket, Key=reason)["Body"].read())
    assert s3.list_objects_v2(Bucket=bucket, Prefix="datasets/iris/")["KeyCount"] > 0


def test_the_approver_reads_the_evaluation(deployment: Deployment) -> None:
    s3, bucket = deployment.client("s3", profile="approver"), bucket_of(deployment, "staging-models")
    key = f"runs/{deployment.demo['run_id']}/evaluation/evaluation.json"

    assert json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def test_the_uploader_mirrors_a_run_into_mlflow(deployment: Deployment, tmp_path: Path) -> None:
    run_id = deployment.demo["run_id"]
    # A database of its own does for a server here; tests/contract has a real one.
    tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}

    done = run_mlops(
        "track", run_id, "--json", environ=deployment.environment("uploader") | tracking, cwd=tmp_path
    )

    assert done.exit_code == 0, done.stderr
    assert [(run["run_id"], run["changed"]) for run in done.json["runs"]] == [(run_id, True)]


def bucket_of(deployment: Deployment, kind: str) -> str:
    buckets = deployment.client("s3").list_buckets()["Buckets"]
    return next(str(bucket["Name"]) for bucket in buckets if kind in bucket["Name"])


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("mlops-ci-apply", "repo:example/mlops:environment:plan"),
        ("mlops-ci-apply", "repo:another/mlops:environment:production"),
        ("mlops-ci-plan", "repo:example/mlops:ref:refs/heads/main"),
        ("mlops-ci-plan", "repo:example/mlops:environment:plan-b"),
        ("mlops-ci-plan", "repo:another/mlops:pull_request"),
        # Not under the name that a pull request's session must have.
        ("mlops-ci-plan", "repo:example/mlops:pull_request"),
        ("mlops-ci-apply", "repo:example/mlops:pull_request"),
    ],
)
def test_a_job_of_elsewhere_gets_no_ci_role(
    deployment: Deployment, ci: dict[str, str], role: str, subject: str
) -> None:
    with pytest.raises(ClientError) as refused:
        assume(deployment, ci[role], subject)

    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_a_job_of_the_repository_plans_and_changes_nothing(
    deployment: Deployment, ci: dict[str, str], tmp_path: Path
) -> None:
    environ = job_environment(deployment, ci["mlops-ci-plan"], tmp_path, subject="environment:plan")

    planned: list[Result] = [
        run_mlops("plan", *target, "--json", environ=environ)
        for target in (("core",), ("--env", "staging"), ("--env", "production"))
    ]

    assert [result.exit_code for result in planned] == [0, 0, 0], planned
    assert all(result.json["empty"] for result in planned)


def test_a_pull_request_sees_its_plan_and_leaves_nothing(
    deployment: Deployment, ci: dict[str, str], elsewhere: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    checkout, variables = elsewhere
    environ = job_environment(
        deployment, ci["mlops-ci-plan"], tmp_path, subject="pull_request", session="pull-request"
    )
    bucket = bucket_of(deployment, "-tfstate-")
    before = list_plans(deployment, bucket)

    shown = run_mlops(
        "plan", "--env", "staging", "--preview", "--json", environ=environ | variables, cwd=checkout
    )
    refused = run_mlops("plan", "core", "--json", environ=environ | variables, cwd=checkout)

    assert shown.exit_code == 0, shown.stderr
    assert shown.json["empty"], shown.stdout
    assert refused.exit_code != 0
    assert "AccessDenied" in refused.stderr
    assert list_plans(deployment, bucket) == before


def list_plans(deployment: Deployment, bucket: str) -> list[tuple[str, str]]:
    listing = deployment.client("s3").list_objects_v2(Bucket=bucket, Prefix="plans/")
    return [(entry["Key"], entry["ETag"]) for entry in listing.get("Contents", [])]


def test_a_retraining_job_uploads_and_a_planning_one_does_not(
    deployment: Deployment, ci: dict[str, str], tmp_path: Path
) -> None:
    role = ci["mlops-ci-plan"].replace("ci-plan", "data-scientist")
    retraining = job_environment(deployment, role, tmp_path, subject="environment:retrain")
    planning = job_environment(deployment, role, tmp_path, subject="environment:plan")

    retrained = run_mlops("retrain", "--env", "staging", "--json", environ=retraining)
    refused = run_mlops("retrain", "--env", "staging", "--json", environ=planning)

    assert retrained.exit_code == 0, retrained.stderr
    assert [run["status"] for run in retrained.json["runs"]] == ["WaitingForApproval"]
    assert refused.exit_code != 0


def test_what_is_planned_in_one_job_is_approved_and_applied_in_another(
    deployment: Deployment, ci: dict[str, str], tmp_path: Path
) -> None:
    planner = job_environment(deployment, ci["mlops-ci-plan"], tmp_path, subject="environment:plan")
    gate, applier = (
        job_environment(deployment, ci[f"mlops-ci-{role}"], tmp_path, subject="environment:core")
        # Another machine: nothing of the plan is there.
        | {"MLOPS_BUILD_DIR": str(tmp_path / role)}
        for role in ("approve", "apply")
    )

    plan = run_mlops("plan", "core", "--json", environ=planner).json["plan_sha256"]
    which = ("core", "--plan", plan, "--json")
    refused = run_mlops("apply", *which, environ=applier)
    answer = run_mlops("approve", *which, "--by", "octo-cat", "--reason", "reviewed", environ=gate)
    applied = run_mlops("apply", *which, environ=applier)
    late = run_mlops("reject", *which, "--by", "octo-cat", "--reason", "too late", environ=gate)

    assert [refused.exit_code, answer.exit_code, applied.exit_code, late.exit_code] == [8, 0, 0, 8], applied
    assert answer.json["approver"] == "octo-cat"


def test_a_gate_that_is_answered_with_no_ends_the_plan(
    deployment: Deployment, ci: dict[str, str], tmp_path: Path
) -> None:
    planner = job_environment(deployment, ci["mlops-ci-plan"], tmp_path, subject="environment:plan")
    gate = job_environment(deployment, ci["mlops-ci-approve"], tmp_path, subject="environment:core")

    which = ("core", "--plan", run_mlops("plan", "core", "--json", environ=planner).json["plan_sha256"])
    ended = run_mlops("reject", *which, "--by", "octo-cat", "--reason", "no", environ=gate)
    answer = run_mlops("approve", *which, "--by", "octo-cat", "--reason", "yes", environ=gate)

    assert (ended.exit_code, answer.exit_code) == (0, 8), (ended, answer)
    assert "rejected by octo-cat" in answer.stderr


def test_a_job_of_a_reviewed_environment_gets_the_apply_role(
    deployment: Deployment, ci: dict[str, str]
) -> None:
    session = assume(deployment, ci["mlops-ci-apply"], "repo:example/mlops:environment:production")

    assert ":assumed-role/mlops-ci-apply/" in session["AssumedRoleUser"]["Arn"]


def assume(deployment: Deployment, role_arn: str, subject: str) -> Any:
    aws = deployment.aws_variables()
    sts = boto3.client(
        "sts",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        verify=aws["AWS_CA_BUNDLE"],
        region_name=aws["AWS_REGION"],
        config=Config(signature_version="unsigned", retries={"total_max_attempts": 1}),
    )
    return sts.assume_role_with_web_identity(
        RoleArn=role_arn, RoleSessionName="job", WebIdentityToken=token(subject)
    )
