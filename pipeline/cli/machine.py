"""doctor and local: this machine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from pipeline import doctor as examination
from pipeline.cli.desk import Desk, Json
from pipeline.settings import read_settings

local = typer.Typer(help="A local AWS on this machine, for any AWS client.", no_args_is_help=True)


def doctor(as_json: Json = False) -> None:
    """Show what this machine has of what the pipeline needs. Ends with 3 if something is missing."""
    desk = Desk(as_json=as_json)
    findings = examination.examine(desk.settings)
    desk.show(
        {"findings": [asdict(finding) for finding in findings]},
        text="\n".join(f"{f.verdict:>8}  {f.subject}: {f.detail}" for f in findings),
    )
    examination.check_findings(findings)


@local.command()
def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 4566,
    runtime: Annotated[
        Literal["auto", "container", "process"], typer.Option(help="How jobs and endpoints run.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Start it, and print the lines that point any AWS client at it."""
    run_local("up", "--port", str(port), "--runtime", runtime, as_json=as_json)


@local.command()
def down(as_json: Json = False) -> None:
    """Stop it. What it held is gone."""
    run_local("down", as_json=as_json)


@local.command()
def status(as_json: Json = False) -> None:
    """Show whether it runs, and where."""
    run_local("status", as_json=as_json)


def run_local(*arguments: str, as_json: bool) -> None:
    """Hands over to the local AWS's own program, which this package does not import."""
    state_dir = read_settings().build / "local"
    command = [sys.executable, "-m", "localaws", *arguments, "--state-dir", str(state_dir)]
    done = subprocess.run([*command, *(["--json"] if as_json else [])])
    raise typer.Exit(done.returncode)
