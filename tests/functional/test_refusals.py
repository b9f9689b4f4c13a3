"""What must be refused is refused, with the reason, and production stays what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from kept_demo import SAMPLE_HEADER, SAMPLE_ROWS, Deployment, production, upload, watch
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

HEADER, ROWS = SAMPLE_HEADER, SAMPLE_ROWS

BROKEN = {
    "empty": ("", "empty"),
    "header only": (HEADER + "\n", "rows"),
    "truncated": ("\n".join([HEADER, *ROWS[:-1], ROWS[-1][:5]]) + "\n", "line"),
    "without its target": (
        "\n".join(line.rsplit(",", 1)[0] for line in [HEADER, *ROWS]) + "\n",
        HEADER.rsplit(",", 1)[1],
    ),
    "a word among the numbers": (
        "\n".join([HEADER, "wide," + ROWS[0].split(",", 1)[1], *ROWS[1:]]) + "\n",
        "line 2",
    ),
}


def wait_for_refusal(deployment: Deployment, run_id: str) -> dict[str, Any]:
    """What the ledger says of production's refusal to release the run."""
    history = Retrying(
        retry=retry_if_exception_type(StopIteration), stop=stop_after_delay(30), wait=wait_fixed(1)
    )
    for attempt in history:
        with attempt:
            entries = deployment.mlops("history", "--env", "pro", "--json", profile="approver").json[
                "entries"
            ]
            bodies = (entry["body"] for entry in entries if entry["kind"] == "refusal")
            refusal: dict[str, Any] = next(body for body in bodies if run_id in body["reason"])
    return refusal


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_dataset_is_quarantined(deployment: Deployment, tmp_path: Path, kind: str) -> None:
    body, word = BROKEN[kind]
    file = tmp_path / f"{kind.replace(' ', '-')}.csv"
    file.write_text(body)
    before = production(deployment)

    run = watch(deployment, upload(deployment, file))

    assert run["status"] == "Quarantined"
    assert word in run["reason"]
    s3 = deployment.client("s3")
    listing = s3.list_objects_v2(Bucket=run["bucket"], Prefix=f"quarantine/iris/{run['run_id']}/")
    keys = {entry["Key"].rsplit("/", 1)[1]: entry["Key"] for entry in listing["Contents"]}
    reason = json.loads(s3.get_object(Bucket=run["bucket"], Key=keys["reason.json"])["Body"].read())
    assert file.name in keys
    assert word in json.dumps(reason)
    assert production(deployment) == before


def test_rejected_candidate_leaves_production_alone(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "fewer-rows.csv"
    file.write_text("\n".join([HEADER, *ROWS[:-3]]) + "\n")
    before = production(deployment)
    run_id = upload(deployment, file)
    assert watch(deployment, run_id)["status"] == "WaitingForApproval"

    by_uploader = deployment.mlops("approve", run_id, "--reason", "mine", "--json", profile="uploader")
    rejected = deployment.mlops("reject", run_id, "--reason", "not convinced", "--json", profile="approver")
    run = watch(deployment, run_id, "--past-gate")
    again = deployment.mlops("approve", run_id, "--reason", "late", "--json", profile="approver")

    assert by_uploader.exit_code == 8
    assert "alice" in by_uploader.stderr
    assert rejected.exit_code == 0, rejected.stderr
    assert run["status"] == "Rejected"
    assert "not convinced" in run["reason"]
    assert again.exit_code == 8
    assert production(deployment) == before


def test_second_approval_is_refused(deployment: Deployment) -> None:
    run_id = deployment.demo["run_id"]

    again = deployment.mlops("approve", run_id, "--reason", "twice", "--json", profile="approver")

    assert again.exit_code == 8
    assert run_id in again.stderr


def test_approval_of_an_unknown_run_is_refused(deployment: Deployment) -> None:
    unknown = deployment.mlops(
        "approve", "iris-0000000000000000", "--reason", "why not", "--json", profile="approver"
    )

    assert unknown.exit_code == 2
    assert "iris-0000000000000000" in unknown.stderr


def test_console_approval_without_a_record_does_not_release(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "console.csv"
    file.write_text("\n".join([HEADER, *ROWS[:-4]]) + "\n")
    before = production(deployment)
    run_id = upload(deployment, file)
    run = watch(deployment, run_id)

    deployment.client("sagemaker").update_model_package(
        ModelPackageArn=run["model_package_arn"], ModelApprovalStatus="Approved"
    )

    refusal = wait_for_refusal(deployment, run_id)
    assert "no signed approval" in refusal["reason"]
    assert production(deployment) == before


def test_apply_takes_a_plan_once(deployment: Deployment) -> None:
    planned = deployment.mlops("plan", "--env", "staging", "--json").json
    approve = ("approve", "--env", "staging", "--plan", planned["plan_sha256"], "--reason", "again", "--json")
    without = deployment.mlops("apply", "--env", "staging", "--json")
    own = deployment.mlops(*approve)
    approved = deployment.mlops(*approve, profile="approver")
    once = deployment.mlops("apply", "--env", "staging", "--json")
    again = deployment.mlops("apply", "--env", "staging", "--json")

    assert (without.exit_code, own.exit_code) == (8, 8)
    assert "has no approval" in without.stderr
    assert "carol made or planned the change" in own.stderr
    assert approved.exit_code == 0, approved.stderr
    assert once.exit_code == 0, once.stderr
    assert again.exit_code == 6
    assert "applied" in again.stderr


def test_a_plan_that_was_rejected_after_its_approval_is_not_applied(deployment: Deployment) -> None:
    planned = deployment.mlops("plan", "core", "--json").json
    which = ("core", "--plan", planned["plan_sha256"], "--json")

    approved = deployment.mlops("approve", *which, "--reason", "good", profile="approver")
    rejected = deployment.mlops("reject", *which, "--reason", "freeze", profile="approver")
    applied = deployment.mlops("apply", *which)

    assert [approved.exit_code, rejected.exit_code, applied.exit_code] == [0, 0, 8], applied.stderr
    assert "rejected by bob" in applied.stderr
    assert "freeze" in applied.stderr


def test_nobody_writes_an_approval_in_anothers_name(deployment: Deployment) -> None:
    own = deployment.client("sts", profile="approver").get_caller_identity()["UserId"]
    s3, bucket = deployment.client("s3", profile="approver"), "mlops-tfstate-123456789012"

    for key in (f"people/core/{'0' * 64}/{own.replace('bob', 'dora')}.json", f"ci/core/{'0' * 64}/dora.json"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=bucket, Key=f"approvals/{key}", Body=b"{}", IfNoneMatch="*")


@pytest.mark.parametrize("confirmation", [(), ("--confirm", "staging")])
def test_production_is_destroyed_only_by_its_name_written_out(
    deployment: Deployment, confirmation: tuple[str, ...]
) -> None:
    before = production(deployment)

    refused = [
        deployment.mlops("destroy", *target, *confirmation, "--json")
        for target in (("--env", "production"), ("--env", "pro"), ("--all",))
    ]

    assert [result.exit_code for result in refused] == [2, 2, 2]
    assert all("--confirm production" in result.stderr for result in refused)
    assert production(deployment) == before
