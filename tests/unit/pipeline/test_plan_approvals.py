"""`mlops apply` takes the plan that somebody else approved, and refuses all else, each with its reason."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_aws import Client, FakeAws
from fake_terraform import FakeTerraform
from lambda_fakes import FakeKms, FakeS3, client_error
from test_change_authors import git

from pipeline.commit import read_commit
from pipeline.drift import find_terraform_drift
from pipeline.errors import (
    ApprovalError,
    ApprovalExpiredError,
    ApprovalForgedError,
    ApprovalMismatchError,
    ApprovalMissingError,
    ApprovalRevokedError,
    ApprovalUsedError,
    PlanError,
    PolicyError,
    SelfApprovalError,
    UsageError,
)
from pipeline.once import MAX_ATTEMPTS, put_once
from pipeline.plan_approval import (
    PlanApproval,
    Registry,
    applied_key,
    ci_key,
    consume_plan_approval,
    end_plan,
    ended_key,
    find_applied_commit,
    give_plan_approval,
    person_key,
    reject_plan,
    rejection_key,
    write_plan_approval,
)
from pipeline.plan_store import PlanStore, Waiting
from pipeline.plans import Manifest, render_manifest
from pipeline.settings import TARGETS, Settings
from pipeline.stack import (
    CORE,
    Stack,
    Workshop,
    apply_stack,
    approval_registry,
    plan_folder,
    plan_stack,
    plan_store,
    read_delivered,
    read_waiting_plan,
)
from pipeline.terraform import Applied
from pipeline.toolchain import Toolchain

STAGING = Stack("environment", "staging")
BUCKET = "mlops-tfstate-123456789012"
STATE = (BUCKET, "core/terraform.tfstate")


@dataclasses.dataclass
class Site:
    """One account with one Terraform, and a plan of core."""

    workshop: Workshop
    s3: FakeS3
    kms: FakeKms
    terraform: FakeTerraform

    @property
    def registry(self) -> Registry:
        return approval_registry(self.workshop.settings, "123456789012", s3=self.s3, kms=self.kms)

    def plan(self) -> Manifest:
        return plan_stack(self.workshop, FakeAws(s3=self.s3).as_aws(), CORE)

    def approve(
        self,
        manifest: Manifest,
        *,
        approver: str = "bob",
        valid_for: timedelta = timedelta(hours=1),
        key: str | None = None,
    ) -> PlanApproval:
        approval = write_plan_approval(
            manifest,
            project="mlops",
            approver=approver,
            reason="good",
            now=datetime.now(UTC),
            valid_for=valid_for,
        )
        self.store(manifest, approval, key=key)
        return approval

    def store(self, manifest: Manifest, approval: PlanApproval, *, key: str | None = None) -> None:
        where = key or person_key(manifest, f"AROAX:{approval.approver}")
        give_plan_approval(self.registry, manifest, approval, key=where)

    def apply(self, **changed: Any) -> Applied:
        options = {name: changed.pop(name) for name in ("plan_sha256", "accepted") if name in changed}
        workshop = dataclasses.replace(self.workshop, **changed)
        return apply_stack(workshop, CORE, s3=self.s3, kms=self.kms, **options)

    @property
    def applies(self) -> int:
        return sum(call.startswith("apply") for call in self.terraform.calls)

    def put_state(self, serial: int, lineage: str = "lineage") -> None:
        self.s3.put_object(
            Bucket=BUCKET, Key=STATE[1], Body=json.dumps({"serial": serial, "lineage": lineage}).encode()
        )


@pytest.fixture
def site(settings: Settings, fake_terraform: FakeTerraform) -> Site:
    for root in ("core", "environment"):
        (settings.checkout / "iac" / root).mkdir(parents=True)
    (settings.checkout / "iac" / "core" / ".terraform.lock.hcl").write_text("provider 1")
    fake_terraform.answer("show", "{}")
    fake_terraform.answer("output", "{}")
    workshop = Workshop(
        settings=settings,
        account_id="123456789012",
        caller="arn:aws:sts::123456789012:assumed-role/mlops-deployer/carol",
        authors=("ann", "carol"),
        toolchain=Toolchain(fake_terraform.binary, "1.11.4", None),
        environ={"PATH": "/usr/bin:/bin"},
        commit="abc1234",
        report=lambda _line: None,
    )
    found = Site(workshop, FakeS3(), FakeKms(), fake_terraform)
    found.put_state(3)
    return found


def test_an_approved_plan_is_applied(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest)

    site.apply()

    assert site.applies == 1
    used = json.loads(site.s3.text(BUCKET, applied_key(manifest)))
    assert used["applied_by"].endswith("mlops-deployer/carol")
    ended = json.loads(site.s3.text(BUCKET, ended_key(manifest)))
    assert (ended["status"], ended["applied_by"]) == ("Applied", used["applied_by"])
    assert (manifest.basis.state_serial, manifest.basis.state_lineage) == (3, "lineage")


def test_without_an_approval_nothing_is_applied(site: Site) -> None:
    manifest = site.plan()

    with pytest.raises(ApprovalMissingError, match=f"{manifest.plan_sha256[:12]} of core has no approval"):
        site.apply()
    assert site.applies == 0


def test_the_approval_of_another_plan_does_not_count(site: Site) -> None:
    site.approve(site.plan())
    site.terraform.binary.write_text(site.terraform.binary.read_text().replace("echo plan", "echo other"))
    site.plan()

    with pytest.raises(ApprovalMissingError, match="1 of other plans are there, and count for those only"):
        site.apply()


def test_a_copied_approval_of_another_plan_is_refused(site: Site) -> None:
    first = site.plan()
    site.approve(first)
    record = site.s3.objects[BUCKET, person_key(first, "AROAX:bob")]
    site.terraform.binary.write_text(site.terraform.binary.read_text().replace("echo plan", "echo other"))
    second = site.plan()
    site.s3.objects[BUCKET, person_key(second, "AROAX:bob")] = record

    with pytest.raises(
        ApprovalMismatchError, match=f"is for plan_sha256 {first.plan_sha256}.*{second.plan_sha256}"
    ):
        site.apply()


def test_a_changed_manifest_is_another_plan(site: Site) -> None:
    site.approve(site.plan())
    folder = plan_folder(site.workshop.settings, CORE)
    folder.manifest.write_text(folder.manifest.read_text().replace('"ann"', '"dan"'))

    with pytest.raises(ApprovalMismatchError, match="is for manifest_sha256"):
        site.apply()


@pytest.mark.parametrize(("serial", "lineage"), [(4, "lineage"), (3, "another")])
def test_a_state_that_moved_is_refused(site: Site, serial: int, lineage: str) -> None:
    site.approve(site.plan())
    site.put_state(serial, lineage)

    with pytest.raises(PlanError, match=f"moved after it was planned, from serial 3 to {serial}"):
        site.apply()
    assert site.applies == 0


def test_another_commit_is_refused(site: Site) -> None:
    site.approve(site.plan())

    with pytest.raises(PlanError, match="core was planned at commit abc1234, but this is def5678"):
        site.apply(commit="def5678")


def test_another_provider_is_refused(site: Site) -> None:
    site.approve(site.plan())
    (site.workshop.settings.checkout / "iac" / "core" / ".terraform.lock.hcl").write_text("provider 2")

    with pytest.raises(PlanError, match="provider's lock changed after core was planned"):
        site.apply()


def test_an_expired_approval_is_refused(site: Site) -> None:
    site.approve(site.plan(), valid_for=timedelta(seconds=-1))

    with pytest.raises(ApprovalExpiredError, match="of core by bob expired at"):
        site.apply()


def test_a_plan_is_applied_once_from_whatever_machine(site: Site, tmp_path: Path) -> None:
    manifest = site.plan()
    site.approve(manifest)
    site.apply()
    elsewhere = dataclasses.replace(site.workshop.settings, build=tmp_path / "elsewhere")

    with pytest.raises(PlanError, match="applied already"):
        site.apply()
    with pytest.raises(ApprovalUsedError, match=r"was applied already, by .*carol at .*applied once"):
        site.apply(settings=elsewhere)
    assert site.applies == 1


@pytest.mark.parametrize("approver", ["ann", "carol", "Ann"])
def test_nobody_approves_their_own_change(site: Site, approver: str) -> None:
    manifest = site.plan()

    with pytest.raises(SelfApprovalError, match=f"{approver} made or planned the change.*somebody else"):
        site.approve(manifest, approver=approver)


def test_a_signed_self_approval_is_refused(site: Site) -> None:
    manifest = site.plan()
    own = dataclasses.replace(
        write_plan_approval(
            manifest,
            project="mlops",
            approver="bob",
            reason="good",
            now=datetime.now(UTC),
            valid_for=timedelta(hours=1),
        ),
        approver="ann",
    )
    site.store(manifest, own)

    with pytest.raises(SelfApprovalError, match="ann made or planned the change"):
        site.apply()


@pytest.mark.parametrize("approver", ["ann", "Carol"])
def test_an_author_whom_the_planner_left_out_is_refused_by_the_apply(site: Site, approver: str) -> None:
    manifest = dataclasses.replace(site.plan(), authors=("nobody",))
    plan_folder(site.workshop.settings, CORE).manifest.write_bytes(render_manifest(manifest))
    site.approve(manifest, approver=approver)

    with pytest.raises(SelfApprovalError, match=f"{approver} made or planned the change"):
        site.apply()
    assert site.applies == 0


def test_who_wrote_since_the_last_apply_does_not_approve(site: Site) -> None:
    checkout = site.workshop.settings.checkout
    git(checkout, "init")
    git(checkout, "commit", "--allow-empty", "-m", "applied", author="eve@example.com")
    site.workshop = dataclasses.replace(site.workshop, commit=read_commit(checkout, {}))
    site.approve(site.plan())
    site.apply()
    for author in ("dora", "fay"):
        git(checkout, "commit", "--allow-empty", "-m", "later", author=f"{author}@example.com")
    site.workshop = dataclasses.replace(site.workshop, commit=read_commit(checkout, {}))
    site.put_state(4)

    manifest = site.plan()

    assert manifest.authors == ("ann", "carol", "dora", "fay")
    with pytest.raises(SelfApprovalError, match="dora made or planned the change"):
        site.approve(manifest, approver="dora")


def test_a_preview_does_not_ask_a_history_that_was_cut_off(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    site.approve(site.plan())
    site.apply()
    origin, checkout = tmp_path_factory.mktemp("origin"), site.workshop.settings.checkout
    git(origin, "init", "-b", "main")
    for message in ("one", "two"):
        git(origin, "commit", "--allow-empty", "-m", message)
    git(checkout, "clone", "--depth", "1", "--bare", origin.as_uri(), ".git")
    git(checkout, "config", "core.bare", "false")
    aws = FakeAws(s3=site.s3).as_aws()

    assert plan_stack(site.workshop, aws, CORE, preview=True).authors == site.workshop.authors
    with pytest.raises(UsageError, match="git fetch --unshallow"):
        plan_stack(site.workshop, aws, CORE)


def test_an_apply_that_failed_delivered_nothing(site: Site) -> None:
    manifest = site.plan()
    for commit, status in (("good", "Applied"), ("bad", "Failed")):
        ended = dataclasses.replace(manifest, commit=commit, plan_sha256=commit)
        end_plan(site.registry, ended, status=status, reason="", by="carol", now=datetime.now(UTC))

    assert find_applied_commit(site.registry, "core") == "good"
    assert find_applied_commit(site.registry, "environment-staging") is None


def test_a_revoked_approval_is_refused(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest)
    reject_plan(site.registry, manifest, rejecter="dora", reason="freeze", now=datetime.now(UTC))

    with pytest.raises(ApprovalRevokedError, match=r"was rejected by dora at .*: freeze"):
        site.apply()
    with pytest.raises(ApprovalRevokedError, match="freeze"):
        site.approve(manifest, approver="dora")


def test_a_rejection_while_terraform_is_made_ready_stops_the_apply(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest)

    def reject_first(key: str) -> None:
        if key == applied_key(manifest):
            site.s3.before_put = str
            reject_plan(site.registry, manifest, rejecter="dora", reason="stop", now=datetime.now(UTC))

    site.s3.before_put = reject_first
    with pytest.raises(ApprovalRevokedError, match=r"was rejected by dora at .*: stop"):
        site.apply()

    assert site.applies == 0
    assert json.loads(site.s3.text(BUCKET, ended_key(manifest)))["status"] == "Failed"


def test_a_rejection_that_an_apply_was_faster_than_says_so(site: Site) -> None:
    manifest = site.plan()
    approval = site.approve(manifest)

    def apply_first(key: str) -> None:
        if key == rejection_key(manifest):
            site.s3.before_put = str
            consume_plan_approval(site.registry, manifest, approval, by="carol", now=datetime.now(UTC))

    site.s3.before_put = apply_first
    with pytest.raises(ApprovalUsedError, match="was taken for an apply by carol while it was rejected"):
        reject_plan(site.registry, manifest, rejecter="dora", reason="stop", now=datetime.now(UTC))


def test_a_record_that_is_gone_again_is_no_leave_to_go_on(site: Site) -> None:
    manifest = site.plan()
    approval = site.approve(manifest)

    def taken(_key: str) -> None:
        raise client_error("PreconditionFailed")

    site.s3.before_put = taken
    gone = "was written by somebody else and is gone again"
    with pytest.raises(ApprovalUsedError, match=gone):
        consume_plan_approval(site.registry, manifest, approval, by="carol", now=datetime.now(UTC))
    with pytest.raises(ApprovalUsedError, match=gone):
        reject_plan(site.registry, manifest, rejecter="dora", reason="stop", now=datetime.now(UTC))


def test_an_applied_plan_is_not_rejected(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest)
    site.apply()

    with pytest.raises(ApprovalUsedError, match="applied already"):
        reject_plan(site.registry, manifest, rejecter="dora", reason="late", now=datetime.now(UTC))


def test_an_approval_in_anothers_name_is_refused(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest, approver="bob", key=person_key(manifest, "AROAX:carol"))

    with pytest.raises(ApprovalMismatchError, match="is carol's, but names bob as its approver"):
        site.apply()


@pytest.mark.parametrize("stored", [b"", b"{}", b"\xff", b'{"record": {}, "signature": "%"}'])
def test_an_unreadable_approval_is_refused(site: Site, stored: bytes) -> None:
    manifest = site.plan()
    site.s3.objects[BUCKET, person_key(manifest, "AROAX:bob")] = [stored]

    with pytest.raises(ApprovalForgedError, match="cannot be read as an approval"):
        site.apply()


@pytest.mark.parametrize("name", ["reason", "approver", "expires_at", "plan_sha256", "state_serial", "nonce"])
def test_a_changed_record_is_refused(site: Site, name: str) -> None:
    manifest = site.plan()
    site.approve(manifest)
    key = (BUCKET, person_key(manifest, "AROAX:bob"))
    document = json.loads(site.s3.text(*key))
    document["record"][name] = "2999-01-01T00:00:00+00:00"
    site.s3.objects[key] = [json.dumps(document).encode()]

    with pytest.raises(ApprovalForgedError, match="does not carry the approval key's signature"):
        site.apply()


def test_of_several_approvals_one_good_one_is_enough(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest, approver="bob", valid_for=timedelta(seconds=-1))
    site.approve(manifest, approver="dora")

    site.apply()

    assert site.applies == 1


def test_nobody_approves_twice(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest)

    with pytest.raises(ApprovalUsedError, match=r"bob approved plan .* of core already"):
        site.approve(manifest)


def test_what_answered_at_the_gate_of_ci_counts(site: Site) -> None:
    manifest = site.plan()
    site.approve(manifest, approver="octo-cat", key=ci_key(manifest, "octo-cat"))

    site.apply()

    assert site.applies == 1


@pytest.mark.parametrize("name", ["", "../bob", "bob\n", "a b", "$(id)", "x" * 65])
def test_what_is_no_name_is_refused(site: Site, name: str) -> None:
    with pytest.raises(ApprovalError, match="is no person's name"):
        site.approve(site.plan(), approver=name)


def test_a_plan_made_elsewhere_is_fetched(site: Site, tmp_path: Path) -> None:
    manifest = site.plan()
    site.approve(manifest)
    elsewhere = dataclasses.replace(site.workshop.settings, build=tmp_path / "elsewhere")

    site.apply(settings=elsewhere, plan_sha256=manifest.plan_sha256)

    assert site.applies == 1


def test_a_fetched_plan_that_was_changed_is_refused(site: Site, tmp_path: Path) -> None:
    manifest = site.plan()
    site.approve(manifest)
    site.s3.objects[BUCKET, f"plans/core/{manifest.plan_sha256}/plan.tfplan"] = [b"other"]
    elsewhere = dataclasses.replace(site.workshop.settings, build=tmp_path / "elsewhere")

    with pytest.raises(PlanError, match="was changed after it was made"):
        site.apply(settings=elsewhere)


def test_a_look_at_what_would_be_applied_takes_the_plan_that_is_named(site: Site, tmp_path: Path) -> None:
    first = site.plan()
    site.terraform.binary.write_text(site.terraform.binary.read_text().replace("echo plan", "echo other"))
    second = site.plan()
    build = tmp_path / "elsewhere"
    elsewhere = dataclasses.replace(
        site.workshop, settings=dataclasses.replace(site.workshop.settings, build=build)
    )

    found = [
        read_waiting_plan(workshop, CORE, s3=site.s3, plan_sha256=wanted)
        for workshop in (site.workshop, elsewhere)
        for wanted in (None, first.plan_sha256)
    ]

    assert found == [second, first, second, first]
    assert not build.exists()
    with pytest.raises(PlanError, match="no saved plan of core"):
        read_waiting_plan(site.workshop, CORE, s3=site.s3, plan_sha256="0" * 64)


def test_a_plan_that_is_nowhere_is_named(site: Site) -> None:
    with pytest.raises(PlanError, match=r"no saved plan of core\. Run `mlops plan core`"):
        site.apply()
    with pytest.raises(PlanError, match="no saved plan of core"):
        PlanStore(site.s3, BUCKET).read("core", plan_sha256="0" * 64, plan_command="mlops plan core")


def test_a_manifest_from_elsewhere_writes_nowhere_else(site: Site, tmp_path: Path) -> None:
    manifest = site.plan()
    evil = dataclasses.replace(manifest, inputs={"../../../../escape": "0" * 64})
    folder = plan_folder(site.workshop.settings, CORE)

    with pytest.raises(PlanError, match="escape, outside of"):
        PlanStore(site.s3, BUCKET).publish(folder, evil)


def test_a_plan_that_deletes_what_holds_state_is_not_applied_unless_it_is_named(site: Site) -> None:
    address = "module.storage.aws_s3_bucket.data"
    deletion = {"resource": {"addr": address}, "action": "delete"}
    site.terraform.answer_lines("plan", {"type": "planned_change", "change": deletion}, code=2)
    change = {"actions": ["delete"], "before": {}, "after": None, "after_unknown": {}}
    described = {"address": address, "mode": "managed", "type": "aws_s3_bucket", "change": change}
    site.terraform.answer("show", json.dumps({"resource_changes": [described]}))
    site.approve(site.plan())

    with pytest.raises(PolicyError, match=f"{address} is deleted.*--accept '{address}'"):
        site.apply()
    refused = site.applies
    site.apply(accepted=[address])

    assert refused == 0
    assert [call.split()[0] for call in site.terraform.calls][-2:] == ["apply", "output"]


def test_the_summary_puts_what_is_lost_first(site: Site) -> None:
    changes = [("aws_sqs_queue.new", "create"), ("aws_s3_bucket.old", "delete"), ("aws_kms_key.k", "replace")]
    lines = [
        {"type": "planned_change", "change": {"resource": {"addr": address}, "action": action}}
        for address, action in changes
    ]
    site.terraform.answer_lines("plan", *lines, code=2)

    manifest = site.plan()

    summary = plan_folder(site.workshop.settings, CORE).summary.read_text()
    assert "| 1 | 1 | 0 | 1 |" in summary
    order = [
        summary.index(address) for address in ("aws_s3_bucket.old", "aws_kms_key.k", "aws_sqs_queue.new")
    ]
    assert order == sorted(order)
    assert "not to be approved by `ann`, `carol`" in summary
    assert "### Cost by the month" in summary
    assert f"by AWS's list prices of {manifest.cost.prices_of} in us-east-1" in summary


def test_what_is_shown_before_an_approval_is_what_is_approved(site: Site) -> None:
    manifest = site.plan()
    home = f"plans/core/{manifest.plan_sha256}"
    site.s3.put_object(Bucket=BUCKET, Key=f"{home}/summary.md", Body=b"Nothing changes.")

    waiting = read_waiting(site, manifest.plan_sha256)

    assert waiting.manifest == manifest
    assert waiting.summary == plan_folder(site.workshop.settings, CORE).summary.read_text()


def read_waiting(site: Site, plan_sha256: str | None) -> Waiting:
    return PlanStore(site.s3, BUCKET).read("core", plan_sha256=plan_sha256, plan_command="mlops plan core")


def put_manifest(site: Site, manifest: Manifest, *, stack: str = "core", plan_sha256: str) -> None:
    key = f"plans/{stack}/{plan_sha256}/manifest.json"
    site.s3.put_object(Bucket=BUCKET, Key=key, Body=render_manifest(manifest))


def test_another_plan_under_the_hash_that_is_asked_for_is_refused(site: Site, tmp_path: Path) -> None:
    manifest, asked = site.plan(), "f" * 64
    put_manifest(site, manifest, plan_sha256=asked)
    elsewhere = dataclasses.replace(site.workshop.settings, build=tmp_path / "elsewhere")
    refused = f"kept as plan {'f' * 12} of core is plan {manifest.plan_sha256[:12]} of core"

    with pytest.raises(PlanError, match=refused):
        read_waiting(site, asked)
    with pytest.raises(PlanError, match=refused):
        site.apply(settings=elsewhere, plan_sha256=asked)


def test_another_stacks_plan_is_refused(site: Site) -> None:
    manifest = site.plan()
    other = dataclasses.replace(manifest, stack="environment-production")
    put_manifest(site, other, plan_sha256=manifest.plan_sha256)
    plan_folder(site.workshop.settings, CORE).manifest.write_bytes(render_manifest(other))

    with pytest.raises(PlanError, match=r"of core is plan .* of environment-production"):
        read_waiting(site, manifest.plan_sha256)
    with pytest.raises(PlanError, match="The saved plan of core is one of environment-production"):
        site.apply()


@pytest.mark.parametrize("pointer", [b"{}", b"[]", b"", b"\xff"])
def test_an_unreadable_pointer_to_the_latest_plan_is_named(site: Site, pointer: bytes) -> None:
    site.plan()
    site.s3.put_object(Bucket=BUCKET, Key="plans/core/latest.json", Body=pointer)

    with pytest.raises(PlanError, match="Which plan of core is the latest cannot be read"):
        read_waiting(site, None)


def test_a_name_in_the_summary_is_no_markup(site: Site) -> None:
    hostile = 'x["`</td><img src=x onerror=alert(1)>`\n# heading"]'
    change = {"resource": {"addr": hostile}, "action": "create"}
    site.terraform.answer_lines("plan", {"type": "planned_change", "change": change}, code=2)
    site.plan()

    summary = plan_folder(site.workshop.settings, CORE).summary.read_text()

    assert '- `` x["`</td><img src=x onerror=alert(1)>` # heading"] ``' in summary.splitlines()


def test_a_write_that_meets_another_is_tried_again_and_not_for_ever() -> None:
    s3, waits = FakeS3(), list[float]()

    def conflict(_key: str) -> None:
        if len(waits) < 2:
            raise client_error("ConditionalRequestConflict")

    s3.before_put = conflict
    first = put_once(b"1", s3=s3, bucket="b", key="k", sleep=waits.append)
    second = put_once(b"2", s3=s3, bucket="b", key="k", sleep=waits.append)

    def never(_key: str) -> None:
        raise client_error("ConditionalRequestConflict")

    s3.before_put = never
    with pytest.raises(Exception, match="ConditionalRequestConflict"):
        put_once(b"3", s3=s3, bucket="b", key="k", sleep=waits.append)

    assert (first, second, s3.text("b", "k")) == (True, False, "1")
    assert len(waits) == 2 + MAX_ATTEMPTS - 1


def put_images(settings: Settings) -> None:
    for target in TARGETS:
        file = settings.image_file("iris", target)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"uri": "r@sha256:1"}')


def put_functions(settings: Settings) -> None:
    (settings.checkout / "pipeline" / "lambdas").mkdir(parents=True)
    (settings.checkout / "pipeline" / "lambdas" / "claim.py").write_text("")


def test_a_workspace_without_a_state_gets_one_before_it_is_planned(site: Site) -> None:
    put_images(site.workshop.settings)
    put_functions(site.workshop.settings)

    plan_stack(site.workshop, FakeAws(s3=site.s3).as_aws(), STAGING)

    calls = [call.partition(" -")[0] for call in site.terraform.calls]
    assert calls.index("state pull") < calls.index("plan")


DEPLOYED = {"iris": {"training": "r@sha256:7", "serving": "r@sha256:8"}}


def test_a_preview_keeps_nothing_locks_nothing_and_takes_what_is_deployed(site: Site) -> None:
    put_functions(site.workshop.settings)
    outputs = {"delivered": {"value": {"commit": "abc", "images": DEPLOYED}}}
    site.terraform.answer("output", json.dumps(outputs))
    before = dict(site.s3.objects)

    manifest = plan_stack(site.workshop, FakeAws(s3=site.s3).as_aws(), STAGING, preview=True)

    assert site.s3.objects == before
    plan = next(call for call in site.terraform.calls if call.startswith("plan"))
    assert "-lock=false" in plan
    assert "state pull" not in [call.partition(" -")[0] for call in site.terraform.calls]
    assert json.loads(site.terraform.environment["TF_VAR_images"]) == DEPLOYED
    assert manifest.commit == site.workshop.commit
    with pytest.raises(PlanError, match="There is no saved plan of environment-staging"):
        plan_store(site.workshop.settings, "123456789012", s3=site.s3).read(
            "environment-staging", plan_sha256=manifest.plan_sha256, plan_command="mlops plan"
        )


@pytest.mark.parametrize(("preview", "forgotten"), [(False, 1), (True, 0)])
def test_a_preview_takes_nothing_over_that_changes_the_state(
    site: Site, preview: bool, forgotten: int
) -> None:
    creation = {"actions": ["create"], "after": {"name": "mlops-claim"}}
    role = {
        "address": "aws_iam_role.this",
        "mode": "managed",
        "type": "aws_iam_role",
        "change": creation,
    }
    vanished = {"address": "aws_iam_role.this", "change": {"actions": ["delete"]}}
    site.terraform.answer("show", json.dumps({"resource_changes": [role], "resource_drift": [vanished]}))
    # Listed once: when it is asked for again, it is taken over.
    listings = iter([[{"RoleName": "mlops-claim"}]])
    iam = Client({"list_roles": lambda: {"Roles": next(listings, [])}})

    plan_stack(site.workshop, FakeAws(s3=site.s3, iam=iam).as_aws(), CORE, preview=preview)

    assert sum(call.startswith("state rm") for call in site.terraform.calls) == forgotten


def test_a_setting_that_terraform_dropped_ends_the_plan(site: Site) -> None:
    put_functions(site.workshop.settings)
    put_images(site.workshop.settings)
    variables = site.workshop.settings.checkout / "iac/environment/staging.tfvars"
    variables.parent.mkdir(parents=True, exist_ok=True)
    variables.write_text("network = {\n  enable = true\n}\n")
    settings = {"network": {"enabled": True}}
    shown = {
        "variables": {"network": {"value": {"enable": True}}},
        "planned_values": {"outputs": {"settings": {"value": settings}}},
    }
    site.terraform.answer("show", json.dumps(shown))

    with pytest.raises(UsageError, match=r"staging\.tfvars:2: there is no setting network\.enable;"):
        plan_stack(site.workshop, FakeAws(s3=site.s3).as_aws(), STAGING)


def test_a_preview_takes_what_was_built_here(site: Site) -> None:
    put_functions(site.workshop.settings)
    put_images(site.workshop.settings)

    plan_stack(site.workshop, FakeAws(s3=site.s3).as_aws(), STAGING, preview=True)

    assert json.loads(site.terraform.environment["TF_VAR_images"])["iris"]["serving"] == "r@sha256:1"


def test_a_plan_that_may_be_applied_holds_the_lock_and_wants_images(site: Site) -> None:
    put_functions(site.workshop.settings)
    site.plan()

    assert "-lock=false" not in next(call for call in site.terraform.calls if call.startswith("plan"))
    with pytest.raises(UsageError, match="is not pushed yet"):
        plan_stack(site.workshop, FakeAws(s3=site.s3).as_aws(), STAGING)


def test_drift_is_looked_for_with_what_was_delivered(site: Site) -> None:
    put_functions(site.workshop.settings)
    delivered = read_delivered({"delivered": {"commit": "abc", "images": DEPLOYED}}, STAGING)

    assert find_terraform_drift(site.workshop, STAGING, delivered=delivered) == []

    given = site.terraform.environment
    assert (given["TF_VAR_commit"], json.loads(given["TF_VAR_images"])) == ("abc", DEPLOYED)


def test_where_nothing_was_delivered_there_is_no_drift_to_look_for() -> None:
    with pytest.raises(UsageError, match="does not say what was delivered"):
        read_delivered({}, STAGING)
