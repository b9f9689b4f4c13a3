"""state show-lock, state unlock: who holds the lock on a Terraform state, and how it is freed by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from pipeline import stack
from pipeline.cli.desk import Desk, Env, Json
from pipeline.cli.infrastructure import pick_stack
from pipeline.lock import StateLock, describe_age, free_lock, read_lock
from pipeline.plans import utc_now
from pipeline.settings import Environment
from pipeline.stack import Root, Stack

StateRoot = Annotated[
    Literal["bootstrap", "core", "environment"],
    typer.Argument(help="bootstrap, core, or the environment named by --env."),
]

state = typer.Typer(help="The lock on a Terraform state.", no_args_is_help=True)


@state.command("show-lock")
def show_lock(root: StateRoot = "environment", env: Env = "staging", as_json: Json = False) -> None:
    """Show who holds the lock on a state, since when, and its id."""
    desk = Desk(as_json=as_json)
    target = pick_state(root, env)
    bucket = stack.state_bucket(desk.settings, desk.caller.account_id)
    lock = read_lock(desk.aws.client("s3"), bucket, target.state_key)
    if lock is None:
        desk.show({"stack": target.name, "locked": False}, text=f"{target.name} is not locked.")
        return
    text = f"{target.name} is {lock.describe(now=utc_now())}. If that one is dead: "
    desk.show(
        {"stack": target.name, "locked": True} | _describe_lock(lock),
        text=f"{text}{target.unlock_command} --id {lock.id}",
    )


@state.command("unlock")
def unlock(
    lock_id: Annotated[str, typer.Option("--id", help="The id that `show-lock` gives: this lock, no other.")],
    root: StateRoot = "environment",
    env: Env = "staging",
    as_json: Json = False,
) -> None:
    """Free a lock that a dead Terraform left behind. One that is alive would lose its state's safety."""
    desk = Desk(as_json=as_json)
    target = pick_state(root, env)
    bucket = stack.state_bucket(desk.settings, desk.caller.account_id)
    lock = free_lock(desk.aws.client("s3"), bucket, target.state_key, lock_id=lock_id, now=utc_now())
    desk.show(
        {"stack": target.name, "freed": True} | _describe_lock(lock),
        text=f"{target.name} is free: the lock was {lock.describe(now=utc_now())}.",
    )


def pick_state(root: Root, environment: Environment) -> Stack:
    return Stack(root) if root == "bootstrap" else pick_stack(root, environment)


def _describe_lock(lock: StateLock) -> dict[str, Any]:
    age = utc_now() - lock.created_at
    told = asdict(lock) | {"age": describe_age(age), "age_s": round(age.total_seconds())}
    del told["etag"]
    return told
