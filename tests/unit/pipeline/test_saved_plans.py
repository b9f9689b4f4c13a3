from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import PlanError
from pipeline.plans import (
    Basis,
    Change,
    PlanFolder,
    claim_plan,
    clear_plan,
    count_changes,
    read_plan,
    save_manifest,
)
from pipeline.policy import Finding, Verdict
from pipeline.prices import CostLine, PlanCost

COST = PlanCost(
    "us-east-1",
    "2026-11-21",
    10.0,
    17.3,
    7.3,
    (CostLine("interface endpoint", 0, 1, 7.3),),
    ("aws_other",),
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
COMMAND = "mlops plan --env staging"


@pytest.fixture
def saved(tmp_path: Path) -> PlanFolder:
    """A plan of staging that points at one file."""
    folder = PlanFolder(tmp_path / "plans" / "staging")
    clear_plan(folder)
    folder.plan.write_bytes(b"binary plan")
    package = tmp_path / "lambda.zip"
    package.write_bytes(b"zip")
    changes = [Change("aws_sqs_queue.q", "create")]
    verdict = Verdict(
        (Finding("state-is-kept", "aws_sqs_queue.old", "is deleted"),), ("aws_iam_role.a.policy",)
    )
    save_manifest(
        folder,
        stack="staging",
        commit="abc",
        basis=Basis("0" * 64, "lineage", 3),
        authors=["ann"],
        changes=changes,
        verdict=verdict,
        cost=COST,
        inputs=[package],
        now=NOW,
    )
    return folder


def read(folder: PlanFolder) -> object:
    return read_plan(folder, stack="staging", plan_command=COMMAND)


def test_an_unchanged_plan_may_be_applied(saved: PlanFolder) -> None:
    manifest = read_plan(saved, stack="staging", plan_command=COMMAND)

    assert manifest.changes == (Change("aws_sqs_queue.q", "create"),)
    assert list(manifest.inputs) == ["../../lambda.zip"]
    assert manifest.verdict.findings[0].address == "aws_sqs_queue.old"
    assert manifest.verdict.unjudged == ("aws_iam_role.a.policy",)


def test_without_a_plan_nothing_is_applied(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=f"no saved plan of staging. Run `{COMMAND}`"):
        read(PlanFolder(tmp_path))


def test_a_changed_plan_is_refused(saved: PlanFolder) -> None:
    saved.plan.write_bytes(b"another plan")

    with pytest.raises(PlanError, match="was changed after it was made"):
        read(saved)


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b'{"stack": "staging"}'])
def test_an_unreadable_manifest_is_refused(saved: PlanFolder, stored: bytes) -> None:
    saved.manifest.write_bytes(stored)

    with pytest.raises(PlanError, match="manifest cannot be read"):
        read(saved)


def test_a_manifest_in_other_bytes_is_refused(saved: PlanFolder) -> None:
    saved.manifest.write_bytes(saved.manifest.read_bytes() + b"\n")

    with pytest.raises(PlanError, match="changed by hand"):
        read(saved)


def test_a_changed_lambda_package_is_refused(saved: PlanFolder, tmp_path: Path) -> None:
    (tmp_path / "lambda.zip").write_bytes(b"other zip")

    with pytest.raises(PlanError, match=r"lambda\.zip was changed after staging was planned"):
        read(saved)


def test_a_plan_is_applied_once(saved: PlanFolder) -> None:
    claim_plan(saved, stack="staging", plan_command=COMMAND, now=NOW)

    with pytest.raises(PlanError, match=r"was applied already \(2026-01-02T03:04:05\+00:00\)"):
        read(saved)


def test_of_two_applies_at_once_one_is_refused(saved: PlanFolder) -> None:
    read(saved)
    claim_plan(saved, stack="staging", plan_command=COMMAND, now=NOW)

    with pytest.raises(PlanError, match="is being applied already"):
        claim_plan(saved, stack="staging", plan_command=COMMAND, now=NOW)


def test_a_new_plan_takes_the_place_of_the_old_one_at_once(saved: PlanFolder) -> None:
    clear_plan(saved)

    with pytest.raises(PlanError, match="no saved plan"):
        read(saved)


def test_changes_are_counted_by_action() -> None:
    changes = [Change("a", "create"), Change("b", "create"), Change("c", "replace")]

    assert count_changes(changes) == {"create": 2, "update": 0, "replace": 1, "delete": 0}
