"""bootstrap, plan, apply, destroy: flow 1's Terraform commands."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from pipeline import bootstrap as bootstrap_root
from pipeline import cleanup, contract, stack, teardown
from pipeline.cli.desk import Desk, DryRun, Env, Json
from pipeline.drift import check_drift, find_release_drift, find_terraform_drift
from pipeline.ledger import Ledger
from pipeline.plan_summary import tell_difference
from pipeline.plans import Manifest, count_changes, utc_now
from pipeline.settings import Environment, check_workspace
from pipeline.stack import CORE, Stack
from pipeline.teardown import Operated

RootArgument = Annotated[
    Literal["core", "environment"], typer.Argument(help="core, or the environment named by --env.")
]
PlanSha256 = Annotated[
    str | None,
    typer.Option("--plan", help="The plan's sha256, as `plan` gives it; the latest plan without it."),
]
Accept = Annotated[
    list[str] | None,
    typer.Option(help="Address of a resource that policy finds fault with and you want so. Repeatable."),
]


def bootstrap(
    deployer: Annotated[
        list[str],
        typer.Option(help="Who may take on the deployer role: user/NAME, role/NAME or an ARN. Repeatable."),
    ],
    approver: Annotated[
        list[str], typer.Option(help="Who may take on the approver's, likewise. Repeatable.")
    ],
    data_scientist: Annotated[
        list[str], typer.Option(help="Who may take on the data scientist's, likewise. Repeatable.")
    ],
    github_repository: Annotated[
        str | None, typer.Option(help="OWNER/NAME whose GitHub Actions may plan and apply; none by default.")
    ] = None,
    jenkins_agent: Annotated[
        list[str] | None,
        typer.Option(help="role/NAME or ARN of a Jenkins's agents, which take on CI's roles. Repeatable."),
    ] = None,
    accept: Accept = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make the state bucket, the roles of people and CI, their boundary and the approval key.

    Needs an administrator; run once per account, and again, naming everybody, when somebody comes or goes.
    Of people nobody but those named may take on a role, and only under their own name: a user under the
    user's, a role's session under the session's. Name no role whose holders choose their sessions' names.
    Jobs of CI that upload datasets name their sessions themselves, after whom they act for.
    """
    desk = Desk(as_json=as_json)
    holders = bootstrap_root.Holders(
        tuple(deployer),
        tuple(approver),
        tuple(data_scientist),
        github_repository=github_repository,
        jenkins_agents=tuple(jenkins_agent or ()),
    )
    manifest = bootstrap_root.run_bootstrap(
        desk.workshop, desk.aws, holders, apply=not dry_run, accepted=accept or ()
    )
    bucket = stack.state_bucket(desk.settings, desk.caller.account_id)
    done = "Would make" if dry_run else "Made"
    desk.show(
        _describe_plan(manifest) | {"state_bucket": bucket, "applied": not dry_run},
        text=f"{done}: {_summarise(manifest)}. State bucket: {bucket}.",
    )


def plan(
    root: RootArgument = "environment",
    env: Env = "staging",
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Only look: keep no plan for `approve`, hold no lock, and take the images that are deployed "
            "where none was built here.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Save a plan for `approve` and `apply`, and show what it changes.

    Changes no resource. In the state it may forget what is gone and an earlier apply left there.
    """
    desk = Desk(as_json=as_json)
    target = pick_stack(root, env)
    if target.environment:
        contract.check_models(desk.settings)
    manifest = stack.plan_stack(desk.workshop, desk.aws, target, preview=preview)
    desk.show(_describe_plan(manifest), text=_render_plan(manifest))


def apply(
    root: RootArgument = "environment",
    env: Env = "staging",
    plan_sha256: PlanSha256 = None,
    accept: Accept = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Apply exactly the plan that was saved and that somebody else approved: once, and if nothing moved."""
    desk = Desk(as_json=as_json)
    target = pick_stack(root, env)
    if dry_run:
        s3 = desk.aws.client("s3")
        manifest = stack.read_waiting_plan(desk.workshop, target, s3=s3, plan_sha256=plan_sha256)
        desk.show(_describe_plan(manifest) | {"applied": False}, text=_render_plan(manifest))
        return
    operated = stack.apply_stack(
        desk.workshop,
        target,
        s3=desk.aws.client("s3"),
        kms=desk.aws.client("kms"),
        plan_sha256=plan_sha256,
        accepted=accept or (),
    )
    applied = teardown.describe_operation(target, operated)
    desk.show(asdict(applied) | {"applied": True}, text=_summarise_operation(applied, done="applied"))


def destroy(
    root: RootArgument = "environment",
    env: Env = "staging",
    everything: Annotated[bool, typer.Option("--all", help="Both environments, core and bootstrap.")] = False,
    confirm: Annotated[
        str, typer.Option(help="Must be `production` where production is destroyed, `core` for core alone.")
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove an environment, what releases made in it, and its data. Ends with 11 if anything is left."""
    desk = Desk(as_json=as_json)
    targets = teardown.pick_targets(root, env, everything=everything)
    if dry_run:
        prefix = cleanup.environment_prefix(desk.settings, None if everything or root == "core" else env)
        found = cleanup.find_resources(desk.aws, prefix)
        listing = [asdict(resource) for resource in found]
        desk.show({"would_destroy": listing}, text="\n".join(f"{r.kind} {r.name}" for r in found))
        return
    teardown.check_confirmation(targets, confirm)
    torn = teardown.tear_down(desk.workshop, desk.aws, targets)
    lines = [_summarise_operation(operated, done="destroyed") for operated in torn.operations]
    desk.show(asdict(torn), text="\n".join([*lines, f"Left over: {len(torn.left_over)}."]))
    cleanup.check_left_over(torn.left_over)


def drift(root: RootArgument = "environment", env: Env = "staging", as_json: Json = False) -> None:
    """Report what differs from what was applied and released. Ends with 13 if anything does."""
    desk = Desk(as_json=as_json)
    target = pick_stack(root, env)
    outputs = stack.read_outputs(desk.workshop, target) if target.environment else {}
    delivered = stack.read_delivered(outputs, target) if target.environment else None
    if delivered and delivered.commit != desk.commit:
        desk.report(
            f"{target.name} was applied at {delivered.commit}, and this is {desk.commit}: what changed in "
            "between is told as drift, too."
        )
    differences = find_terraform_drift(desk.workshop, target, delivered=delivered)
    if target.environment:
        bucket, s3 = outputs["pipeline"]["ledger_bucket"], desk.aws.client("s3")
        differences += find_release_drift(
            desk.settings,
            outputs,
            sagemaker=desk.aws.client("sagemaker"),
            entries=Ledger(bucket, s3=s3, now=utc_now, sleep=time.sleep).entries(),
        )
    listing = [asdict(difference) for difference in differences]
    lines = [f"{difference.resource} {difference.reason}" for difference in differences]
    desk.show(
        {"stack": target.name, "drifted": bool(differences), "differences": listing},
        text="\n".join(lines) or f"{target.name}: no drift",
    )
    check_drift(differences, stack=target.name)


def pick_stack(root: Literal["core", "environment"], environment: Environment) -> Stack:
    """Raises: UsageError where TF_WORKSPACE means another environment than the one asked for."""
    if root == "core":
        return CORE
    check_workspace(environment, os.environ)
    return Stack("environment", environment)


def _describe_plan(manifest: Manifest) -> dict[str, Any]:
    counts = count_changes(manifest.changes)
    return asdict(manifest) | {"counts": counts, "empty": not manifest.changes}


def _render_plan(manifest: Manifest) -> str:
    lines = [f"{change.action:>8}  {change.address}" for change in manifest.changes]
    lines += [f"  policy  {finding.address} {finding.reason}" for finding in manifest.verdict.findings]
    if unjudged := manifest.verdict.unjudged:
        lines.append(f"  policy  {len(unjudged)} documents are known only when they are applied")
    lines.append(f"    cost  {tell_difference(manifest.cost)}, by list prices of {manifest.cost.prices_of}")
    if unpriced := manifest.cost.unpriced:
        lines.append(f"    cost  without a price: {', '.join(unpriced)}")
    return "\n".join([*lines, f"{manifest.stack}: {_summarise(manifest)}, plan {manifest.plan_sha256}"])


def _summarise(manifest: Manifest) -> str:
    counts = count_changes(manifest.changes)
    parts = [f"{count} to {action}" for action, count in counts.items() if count]
    return ", ".join(parts) or "no changes"


def _summarise_operation(operated: Operated, *, done: str) -> str:
    return (
        f"{operated.stack}: {operated.resources} resources {done} in {operated.seconds} s, "
        f"{operated.provider_waiting_s} s of it with an operation of 5 s or longer under way."
    )
