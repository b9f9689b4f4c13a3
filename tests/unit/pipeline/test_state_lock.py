"""What is said of a lock on a Terraform state."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_terraform import FakeTerraform

from pipeline.errors import StateLockedError
from pipeline.lock import StateLock, describe_age, find_told_lock
from pipeline.stack import BOOTSTRAP, CORE, Stack
from pipeline.terraform import Terraform

# As Terraform 1.11.4 writes it.
TOLD = """Error message: operation error S3: PutObject, https response error StatusCode: 412, api error
PreconditionFailed: At least one of the pre-conditions you specified did not hold
Lock Info:
  ID:        8f1c33b4-7a26-51ab-a2a5-5c4b2b0a0f2e
  Path:      mlops-tfstate-123456789012/core/terraform.tfstate
  Operation: OperationTypeApply
  Who:       ann@build-7
  Version:   1.11.4
  Created:   2026-11-21 05:00:00.123456789 +0000 UTC
  Info:


Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""
LOCK = StateLock(
    id="8f1c33b4-7a26-51ab-a2a5-5c4b2b0a0f2e",
    owner="ann@build-7",
    operation="OperationTypeApply",
    created_at=datetime(2026, 11, 21, 5, tzinfo=UTC),
)


def test_the_lock_that_terraform_tells_of_is_understood() -> None:
    assert find_told_lock(TOLD) == LOCK


def test_another_failure_is_no_lock() -> None:
    assert find_told_lock("AccessDenied: no") is None


def test_a_lock_says_owner_age_operation_and_id() -> None:
    assert LOCK.describe(now=LOCK.created_at + timedelta(minutes=12)) == (
        "held by ann@build-7 since 12 min (apply, id 8f1c33b4-7a26-51ab-a2a5-5c4b2b0a0f2e)"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200000, "2 d")]
)
def test_an_age_is_in_the_unit_that_says_something(seconds: int, words: str) -> None:
    assert describe_age(timedelta(seconds=seconds)) == words


def test_a_refused_plan_names_the_owner_and_the_command_that_frees(
    fake_terraform: FakeTerraform, tmp_path: Path
) -> None:
    told = {"severity": "error", "summary": "Error acquiring the state lock", "detail": TOLD}
    fake_terraform.answer_lines("plan", {"type": "diagnostic", "@level": "error", "diagnostic": told}, code=1)
    (tmp_path / "core").mkdir()
    terraform = Terraform(
        binary=fake_terraform.binary,
        root=tmp_path / "core",
        data_dir=tmp_path / "data",
        environ={"PATH": os.environ["PATH"]},
        unlock_command=CORE.unlock_command,
    )

    with pytest.raises(StateLockedError) as refused:
        terraform.plan(tmp_path / "plan.tfplan")

    assert "The state of core is locked, held by ann@build-7 since" in str(refused.value)
    assert f"`mlops state unlock core --id {LOCK.id}`" in str(refused.value)


@pytest.mark.parametrize(
    ("stack", "key", "command"),
    [
        (BOOTSTRAP, "bootstrap/terraform.tfstate", "mlops state unlock bootstrap"),
        (CORE, "core/terraform.tfstate", "mlops state unlock core"),
        (
            Stack("environment", "production"),
            "workspaces/production/environment/terraform.tfstate",
            "mlops state unlock --env production",
        ),
    ],
)
def test_each_state_has_its_object_and_its_command(stack: Stack, key: str, command: str) -> None:
    assert (stack.state_key, stack.unlock_command) == (key, command)
