"""What a deployment leaves in the ledger: infrastructure beside models, for nobody to change."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from kept_demo import Deployment, production

# What is entered is the same whichever way images run; one runtime is enough.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")

LEDGER = "mlops-ledger-123456789012"
STATE = "mlops-tfstate-123456789012"
CAROL = "assumed-role/mlops-deployer/carol"


def history(deployment: Deployment) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = deployment.mlops("history", "--json", profile="approver").json["entries"]
    return entries


def wait_for(deployment: Deployment, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The ledger once it has such an entry: S3 tells of a record when it gets to it."""
    ends_at = time.monotonic() + 120
    while True:
        entries = history(deployment)
        if any(wanted(entry) for entry in entries):
            return entries
        assert time.monotonic() < ends_at, [entry["kind"] for entry in entries]
        time.sleep(1)


@pytest.mark.parametrize("stack", ["core", "environment-staging", "environment-production"])
def test_each_apply_stands_there_with_its_plan_and_approval(deployment: Deployment, stack: str) -> None:
    entries = wait_for(
        deployment,
        lambda entry: (entry["body"].get("stack"), entry["body"]["status"]) == (stack, "Applied"),
    )

    applied = next(
        entry["body"]
        for entry in entries
        if (entry["body"].get("stack"), entry["body"]["status"]) == (stack, "Applied")
    )
    way = [entry for entry in entries if entry["body"].get("plan_sha256") == applied["plan_sha256"]]
    plan, approval, started, _ = (entry["body"] for entry in way)
    assert [(entry["kind"], entry["body"]["status"]) for entry in way] == [
        ("plan", "Planned"),
        ("approval", "Approved"),
        ("apply", "Started"),
        ("apply", "Applied"),
    ]
    assert plan["details"]["commit"]
    assert (approval["by"], approval["reason"]) == ("bob", "nothing is lost")
    assert started["by"].endswith(CAROL)
    assert started["details"]["approval_nonce"] == approval["details"]["nonce"]


def test_no_record_is_entered_twice(deployment: Deployment) -> None:
    ids = [entry["entry_id"] for entry in history(deployment)]

    assert len(ids) == len(set(ids))


def test_a_rejected_plan_stands_there(deployment: Deployment) -> None:
    planned = deployment.mlops("plan", "core", "--json").json
    deployment.mlops(
        "reject", "core", "--plan", planned["plan_sha256"], "--reason", "not today", profile="approver"
    )

    entries = wait_for(
        deployment,
        lambda entry: (
            entry["kind"] == "rejection" and entry["body"].get("plan_sha256") == planned["plan_sha256"]
        ),
    )
    said = next(entry["body"] for entry in entries if entry["body"].get("reason") == "not today")
    assert (said["by"], said["environment"]) == ("bob", "shared")


def test_the_ledger_is_intact_and_tells_its_head(deployment: Deployment) -> None:
    verified = deployment.mlops("ledger", "verify", "--json", profile="approver")
    again = deployment.mlops("ledger", "verify", "--head", verified.json["head"], profile="approver")
    other = deployment.mlops("ledger", "verify", "--head", "0" * 63 + "1", profile="approver")

    assert verified.json["entries"] >= 10
    assert again.exit_code == 0, again.stderr
    assert other.exit_code == 10
    assert "It was cut off, or written anew" in other.stderr


def test_the_ledger_tells_what_answered_when(deployment: Deployment) -> None:
    status = production(deployment)
    now = datetime.now(UTC).isoformat()

    served = deployment.mlops("served", "--at", now, "--json", profile="approver").json

    for name in ("run_id", "model_package", "model_sha256", "image_digest", "dataset_sha256", "approved_by"):
        assert served[name] == status[name], name
    earlier = (datetime.fromisoformat(served["since"]) - timedelta(days=1)).isoformat()
    before = deployment.mlops("served", "--at", earlier, profile="approver")
    bad = deployment.mlops("served", "--at", "noon", profile="approver")
    unknown = deployment.mlops("served", "--at", now, "--env", "moon", profile="approver")
    assert [before.exit_code, bad.exit_code, unknown.exit_code] == [2, 2, 2]
    assert "had been released into production" in before.stderr
    assert "'noon' is no time" in bad.stderr


@pytest.mark.parametrize("profile", ["deployer", "uploader", "approver"])
def test_nobody_writes_the_ledger_by_hand(deployment: Deployment, profile: str) -> None:
    s3 = deployment.client("s3", profile=profile)

    for key in ("ledger/000000000001.json", "ledger/000000999999.json", "noted/anything"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=LEDGER, Key=key, Body=b"{}", IfNoneMatch="*")


@pytest.mark.parametrize(
    ("profile", "bucket", "key"),
    [("approver", LEDGER, "approvals/once.json"), ("deployer", STATE, "applied/core/once.json")],
)
def test_who_may_leave_a_record_may_not_write_over_it(
    deployment: Deployment, profile: str, bucket: str, key: str
) -> None:
    s3 = deployment.client("s3", profile=profile)

    s3.put_object(Bucket=bucket, Key=key, Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"second")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="approvals/other.json" if bucket == LEDGER else key, Body=b"any")

    assert deployment.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == b"first"
