"""approve, reject: a person's answer to a plan (flow 1) or to a run's model (flow 3)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast

import typer

from pipeline import stack
from pipeline.cli.desk import Desk, DryRun, Env, Json
from pipeline.cli.infrastructure import PlanSha256, pick_stack
from pipeline.cli.models import open_runs
from pipeline.errors import UsageError
from pipeline.evidence import render_evidence
from pipeline.gate import Gate, find_waiting_run, give_approval, prepare_approval, reject_run
from pipeline.plan_approval import (
    VALID_FOR,
    Registry,
    ci_key,
    give_plan_approval,
    person_key,
    reject_plan,
    write_plan_approval,
)
from pipeline.plan_store import Waiting
from pipeline.settings import Environment

Subject = Annotated[
    str,
    typer.Argument(
        metavar="core|environment|RUN",
        help="The plan of core, that of the environment named by --env, or a run, whose model it is about.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why; kept in the record.")]
AnsweredBy = Annotated[
    str | None, typer.Option("--by", help="Only for CI, of a plan: who answered at its gate.")
]
PLANS = ("core", "environment")


def approve(
    reason: Reason,
    subject: Subject = "environment",
    env: Env = "staging",
    plan_sha256: PlanSha256 = None,
    by: AnsweredBy = None,
    valid_for_h: Annotated[
        float | None,
        typer.Option(
            "--valid-for-h", min=0.01, max=168, help="Hours until a plan's approval expires; 24 without it."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Sign an approval of a plan, for `apply`, or of a run's model, for production; not of one's own work."""
    desk = Desk(as_json=as_json)
    if subject not in PLANS:
        _refuse_plan_options(plan_sha256, by, valid_for_h)
        approve_run(desk, subject, reason=reason, env=env, dry_run=dry_run)
        return
    waiting = read_waiting(desk, subject, env, plan_sha256)
    manifest, approver = waiting.manifest, desk.caller.person if by is None else by
    approval = write_plan_approval(
        manifest,
        project=desk.settings.project,
        approver=approver,
        reason=reason,
        now=datetime.now(UTC),
        valid_for=VALID_FOR if valid_for_h is None else timedelta(hours=valid_for_h),
    )
    if dry_run:
        text = f"{waiting.summary}\n{approver} would approve {manifest.plan_sha256}."
        desk.show({"approval": approval.record(), "cost": asdict(manifest.cost)}, text=text)
        return
    key = person_key(manifest, desk.caller.user_id) if by is None else ci_key(manifest, approver)
    give_plan_approval(open_registry(desk), manifest, approval, key=key)
    text = f"{waiting.summary}\n{manifest.stack} is approved by {approver} until {approval.expires_at}."
    desk.show(approval.record() | {"cost": asdict(manifest.cost)}, text=text)


def reject(
    reason: Reason,
    subject: Subject = "environment",
    env: Env = "staging",
    plan_sha256: PlanSha256 = None,
    by: AnsweredBy = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """End a plan, approved or not, or a waiting run. What is there stays as it is."""
    desk = Desk(as_json=as_json)
    if subject not in PLANS:
        _refuse_plan_options(plan_sha256, by)
        answer_no(desk, subject, reason=reason, env=env, dry_run=dry_run)
        return
    manifest = read_waiting(desk, subject, env, plan_sha256).manifest
    person = by or desk.caller.person
    told = {"stack": manifest.stack, "plan_sha256": manifest.plan_sha256}
    if dry_run:
        text = f"{person} would reject {manifest.plan_sha256} of {manifest.stack}."
        desk.show(told | {"rejecter": person}, text=text)
        return
    rejection = reject_plan(
        open_registry(desk), manifest, rejecter=person, reason=reason, now=datetime.now(UTC)
    )
    desk.show(told | rejection, text=f"The plan of {manifest.stack} is rejected by {person}.")


def approve_run(desk: Desk, run_id: str, *, reason: str, env: Environment, dry_run: bool) -> None:
    gate = open_gate(desk, env)
    person = desk.caller.person
    run = find_waiting_run(gate, run_id)
    prepared = prepare_approval(gate, run, approver=person, reason=reason, now=datetime.now(UTC))
    if dry_run:
        text = f"{render_evidence(run)}\n{person} would approve {run_id}."
        desk.show({"run": run, "approval": prepared.record()}, text=text)
        return
    approval = give_approval(gate, prepared)
    desk.show(approval.record(), text=f"{run_id} is approved by {person}; production follows.")


def answer_no(desk: Desk, run_id: str, *, reason: str, env: Environment, dry_run: bool) -> None:
    gate = open_gate(desk, env)
    person = desk.caller.person
    if dry_run:
        run = find_waiting_run(gate, run_id)
        desk.show({"run": run, "rejecter": person}, text=f"{person} would reject {run_id} ({run['status']}).")
        return
    subject = reject_run(gate, run_id, rejecter=person, reason=reason)
    desk.show(asdict(subject) | {"rejected_by": person}, text=f"{run_id} is rejected by {person}.")


def read_waiting(desk: Desk, subject: str, env: Environment, plan_sha256: str | None) -> Waiting:
    target = pick_stack(cast(Literal["core", "environment"], subject), env)
    store = stack.plan_store(desk.settings, desk.caller.account_id, s3=desk.aws.client("s3"))
    return store.read(target.name, plan_sha256=plan_sha256, plan_command=target.plan_command)


def open_registry(desk: Desk) -> Registry:
    return stack.approval_registry(
        desk.settings, desk.caller.account_id, s3=desk.aws.client("s3"), kms=desk.aws.client("kms")
    )


def open_gate(desk: Desk, environment: Environment) -> Gate:
    clients: dict[str, Any] = {name: desk.aws.client(name) for name in ("sagemaker", "kms", "s3")}
    return Gate(
        states=desk.aws.client("stepfunctions"),
        project=desk.settings.project,
        names=desk.names(environment),
        runs=open_runs(desk, environment),
        **clients,
    )


def _refuse_plan_options(*given: object) -> None:
    if any(given):
        raise UsageError(
            "--plan, --by and --valid-for-h are about plans; a run's model is answered for by who asks, and "
            "for 24 hours."
        )
