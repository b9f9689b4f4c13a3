"""What happened to plans stands in the ledger: each record once, in order, whoever told of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lambda_fakes import FakeKms, FakeS3

from pipeline.ledger import Ledger
from pipeline.plan_approval import (
    Registry,
    consume_plan_approval,
    end_plan,
    give_plan_approval,
    person_key,
    reject_plan,
    write_plan_approval,
)
from pipeline.plan_ledger import NOTED, note_records
from pipeline.plans import Basis, Change, Manifest, render_manifest
from pipeline.policy import Verdict
from pipeline.prices import PlanCost

PLAN = "a" * 64
OTHER = "b" * 64
CAROL = "arn:aws:sts::123456789012:assumed-role/mlops-deployer/carol"


def make_manifest(plan_sha256: str = PLAN, *, stack: str = "environment-staging") -> Manifest:
    return Manifest(
        stack=stack,
        commit="abc1234",
        plan_sha256=plan_sha256,
        basis=Basis("f" * 64, "lineage", 3),
        authors=("ann", "carol"),
        inputs={},
        created_at="2026-03-01T12:00:00+00:00",
        changes=(Change("aws_sqs_queue.q", "create"),),
        verdict=Verdict((), ()),
        cost=PlanCost("us-east-1", "2026-11-21", 1.0, 8.3, 7.3, (), ()),
    )


class Desk:
    """One account's state bucket and ledger."""

    def __init__(self) -> None:
        self.s3 = FakeS3()
        self.registry = Registry("mlops", "state", "approval-key", s3=self.s3, kms=FakeKms())

    @property
    def ledger(self) -> Ledger:
        return Ledger("ledger", s3=self.s3, now=lambda: datetime.now(UTC), sleep=lambda _s: None)

    def note(self) -> list[str]:
        entered = note_records(self.registry, self.ledger, ledger_bucket="ledger")
        return [f"{entry.kind} {entry.body['status']}" for entry in entered]

    def entries(self) -> list[dict[str, Any]]:
        return [{"kind": entry.kind, **entry.body} for entry in self.ledger.entries()]

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket="state", Key=key, Body=body)

    def plan(self, manifest: Manifest) -> None:
        self.put(f"plans/{manifest.stack}/{manifest.plan_sha256}/manifest.json", render_manifest(manifest))
        self.put(f"plans/{manifest.stack}/{manifest.plan_sha256}/plan.tfplan", b"not a record")
        self.put(f"plans/{manifest.stack}/latest.json", b"{}")

    def approve(self, manifest: Manifest) -> str:
        now = datetime.now(UTC)
        approval = write_plan_approval(
            manifest, project="mlops", approver="bob", reason="good", now=now, valid_for=timedelta(hours=1)
        )
        key = person_key(manifest, "AROAX:bob")
        give_plan_approval(self.registry, manifest, approval, key=key)
        consume_plan_approval(self.registry, manifest, approval, by=CAROL, now=now)
        return key


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_plans_way_stands_in_the_ledger_with_who_and_what(desk: Desk) -> None:
    manifest = make_manifest()
    desk.plan(manifest)
    key = desk.approve(manifest)
    end_plan(desk.registry, manifest, status="Applied", reason="", by=CAROL, now=datetime.now(UTC))

    assert desk.note() == ["plan Planned", "approval Approved", "apply Started", "apply Applied"]

    plan, approval, started, applied = desk.entries()
    assert {entry["plan_sha256"] for entry in desk.entries()} == {PLAN}
    assert (plan["environment"], plan["stack"], plan["by"]) == (
        "staging",
        "environment-staging",
        "ann, carol",
    )
    assert plan["details"]["changes"]["create"] == 1
    assert plan["details"]["cost_difference_usd"] == 7.3
    assert (approval["by"], approval["reason"]) == ("bob", "good")
    assert approval["details"]["manifest_sha256"] == hashlib.sha256(render_manifest(manifest)).hexdigest()
    assert started["details"]["approval_nonce"] == approval["details"]["nonce"]
    assert applied["by"] == CAROL
    stored = desk.s3.objects["state", key][-1]
    assert approval["record"]["sha256"] == hashlib.sha256(stored).hexdigest()
    assert approval["record"]["version_id"] == "v1"


def test_what_is_entered_is_entered_once(desk: Desk) -> None:
    desk.plan(make_manifest())
    desk.note()

    assert desk.note() == []
    assert len(desk.entries()) == 1


def test_an_entry_whose_note_was_lost_is_not_doubled(desk: Desk) -> None:
    desk.plan(make_manifest())
    desk.note()
    notes = [place for place in desk.s3.objects if place[1].startswith(NOTED)]
    for place in notes:
        del desk.s3.objects[place]

    assert desk.note() == ["plan Planned"]
    assert len(desk.entries()) == 1
    assert all(place in desk.s3.objects for place in notes)


def test_two_that_are_woken_up_at_once_enter_it_once(desk: Desk) -> None:
    desk.plan(make_manifest())

    def race(key: str) -> None:
        if key.startswith("ledger/"):
            desk.s3.before_put = str
            desk.note()

    desk.s3.before_put = race
    desk.note()

    assert len(desk.entries()) == 1


def test_what_was_left_behind_before_there_was_a_ledger_is_caught_up_with(desk: Desk) -> None:
    for stack, sha256 in (("core", PLAN), ("environment-staging", OTHER)):
        desk.plan(make_manifest(sha256, stack=stack))

    desk.note()

    assert [(entry["stack"], entry["environment"]) for entry in desk.entries()] == [
        ("core", "shared"),
        ("environment-staging", "staging"),
    ]


def test_a_rejection_stands_in_the_ledger(desk: Desk) -> None:
    now = datetime.now(UTC)
    reject_plan(desk.registry, make_manifest(), rejecter="bob", reason="not on a Friday", now=now)

    assert desk.note() == ["rejection Rejected"]
    assert (desk.entries()[0]["by"], desk.entries()[0]["reason"]) == ("bob", "not on a Friday")


def test_a_failed_apply_stands_in_the_ledger(desk: Desk) -> None:
    end_plan(desk.registry, make_manifest(), status="Failed", reason="why", by=CAROL, now=datetime.now(UTC))

    assert desk.note() == ["apply Failed"]


def forge_signature(stored: bytes) -> bytes:
    document = json.loads(stored)
    document["record"]["reason"] = "better"
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (forge_signature, "does not carry the approval key's signature"),
        (lambda _stored: b"\xff", "cannot be read"),
        (lambda _stored: b"[]", "cannot be read"),
    ],
)
def test_a_spoilt_approval_is_entered_as_refused_and_stops_nothing(
    desk: Desk, spoil: Callable[[bytes], bytes], why: str
) -> None:
    manifest = make_manifest()
    key = desk.approve(manifest)
    desk.put(key, spoil(desk.s3.objects["state", key][-1]))

    assert desk.note() == ["approval Refused", "apply Started"]
    assert why in desk.entries()[0]["reason"]
    assert desk.entries()[0]["by"] == ""


def test_an_approval_that_lies_at_another_plan_is_entered_as_refused(desk: Desk) -> None:
    stored = desk.s3.objects["state", desk.approve(make_manifest())][-1]
    desk.put(f"approvals/people/environment-staging/{OTHER}/AROAX:bob.json", stored)

    refused = desk.note().index("approval Refused")

    assert desk.entries()[refused]["plan_sha256"] == OTHER
    assert f"the approval is of plan {PLAN}" in desk.entries()[refused]["reason"]


@pytest.mark.parametrize("stored", [b"{}", b"[" * 200_000])
@pytest.mark.parametrize("folder", ["plans", "rejections", "applied", "ended"])
def test_a_record_that_cannot_be_read_is_told_as_such(desk: Desk, folder: str, stored: bytes) -> None:
    name = f"{PLAN}/manifest.json" if folder == "plans" else f"{PLAN}.json"
    desk.put(f"{folder}/core/{name}", stored)

    desk.note()

    assert desk.entries()[0]["status"] == "Refused"
    assert desk.entries()[0]["reason"]
