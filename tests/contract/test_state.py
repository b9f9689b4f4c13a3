"""The state of a root on the local AWS: how bootstrap moves it, how it is kept, who holds its lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from local_aws import LocalAws, wait_until

from localaws.settings import ACCOUNT_ID

ROOT = Path(__file__).parents[2]
PROJECT = "kept"
BUCKET = f"{PROJECT}-tfstate-{ACCOUNT_ID}"
STATE = "bootstrap/terraform.tfstate"
BOOTSTRAP = ("bootstrap", "--deployer", "user/carol", "--json")

pytestmark = pytest.mark.terraform


@dataclass(frozen=True)
class Account:
    """A project of its own in the session's local AWS, driven by the `mlops` command."""

    aws: LocalAws
    build: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        told = {"MLOPS_PROJECT": PROJECT, "MLOPS_BUILD_DIR": str(self.build), "AWS_PROFILE": "admin"}
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "mlops"), *arguments],
            cwd=ROOT,
            env=kept | self.aws.environment | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def mlops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def lock(self) -> Any:
        """The lock's object as Terraform wrote it; None without one."""
        s3 = self.aws.client("s3")
        try:
            return json.loads(s3.get_object(Bucket=BUCKET, Key=f"{STATE}.tflock")["Body"].read())
        except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
            return None


def kill_with_terraform(process: subprocess.Popen[str]) -> None:
    """SIGKILL to both at once, as when the machine goes down; Terraform has a process group of its own."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def account(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """An account whose bootstrap was killed in the middle of its apply."""
    account = Account(aws, tmp_path_factory.mktemp("state"))
    process = account.start(*BOOTSTRAP)
    s3 = aws.client("s3")
    wait_until(lambda: any(one["Name"] == BUCKET for one in s3.list_buckets()["Buckets"]), timeout_s=120)
    kill_with_terraform(process)
    return account


@pytest.fixture(scope="module")
def bootstrapped(account: Account) -> Account:
    """Once more, to its end."""
    again = account.mlops(*BOOTSTRAP)
    assert again.returncode == 0, again.stderr
    return account


@pytest.fixture
def left_behind(bootstrapped: Account) -> Iterator[dict[str, Any]]:
    """The lock of a plan that was killed."""
    process = bootstrapped.start(*BOOTSTRAP, "--dry-run")
    lock: dict[str, Any] = wait_until(bootstrapped.lock, timeout_s=120)
    kill_with_terraform(process)
    yield lock
    bootstrapped.aws.client("s3").delete_object(Bucket=BUCKET, Key=f"{STATE}.tflock")


def test_a_bootstrap_that_was_killed_is_finished_by_the_next_one(bootstrapped: Account) -> None:
    third = bootstrapped.mlops(*BOOTSTRAP, "--dry-run")

    assert json.loads(third.stdout)["empty"], third.stdout
    assert not (bootstrapped.build / "terraform" / "bootstrap" / "local.tfstate").exists()


def test_the_state_is_in_the_bucket_versioned_and_encrypted(bootstrapped: Account) -> None:
    s3 = bootstrapped.aws.client("s3")

    head = s3.head_object(Bucket=BUCKET, Key=STATE)
    state = json.loads(s3.get_object(Bucket=BUCKET, Key=STATE)["Body"].read())
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]

    assert head["VersionId"]
    assert head["VersionId"] != "null"
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert head["ServerSideEncryption"] == "aws:kms"
    assert (
        rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
        == (state["outputs"]["state_kms_key_arn"]["value"])
    )


def test_a_lock_that_was_left_behind_is_shown_and_freed_by_its_id_only(
    bootstrapped: Account, left_behind: dict[str, Any]
) -> None:
    refused = bootstrapped.mlops(*BOOTSTRAP, "--dry-run")
    shown = json.loads(bootstrapped.mlops("state", "show-lock", "bootstrap", "--json").stdout)
    wrong = bootstrapped.mlops("state", "unlock", "bootstrap", "--id", "1-2-3")
    still = bootstrapped.lock()
    freed = bootstrapped.mlops("state", "unlock", "bootstrap", "--id", left_behind["ID"])

    assert refused.returncode == 5
    assert left_behind["Who"] in refused.stderr
    assert f"mlops state unlock bootstrap --id {left_behind['ID']}" in refused.stderr
    assert (shown["locked"], shown["id"], shown["owner"]) == (True, left_behind["ID"], left_behind["Who"])
    assert shown["age_s"] >= 0
    assert wrong.returncode == 2
    assert left_behind["Who"] in wrong.stderr
    assert still == left_behind
    assert freed.returncode == 0, freed.stderr
    assert bootstrapped.lock() is None


def test_a_free_state_has_nothing_to_unlock(bootstrapped: Account) -> None:
    shown = bootstrapped.mlops("state", "show-lock", "bootstrap")
    unlock = bootstrapped.mlops("state", "unlock", "bootstrap", "--id", "1-2-3")

    assert "bootstrap is not locked." in shown.stdout
    assert unlock.returncode == 2
