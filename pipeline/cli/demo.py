"""demo: the whole loop on this machine."""

from __future__ import annotations

import os
import threading
from typing import Annotated, Any

import typer

from pipeline.cli.desk import Desk, Json
from pipeline.commit import read_commit
from pipeline.demo.executor import Outcome, render_summary, run_steps, write_record
from pipeline.demo.journey import JOURNEY, SET_UP, START, STOP, TEAR_DOWN, Facts, Journey, Options, Runtime
from pipeline.demo.shell import Shell, children_environment
from pipeline.errors import RunError


def demo(
    yes: Annotated[bool, typer.Option("--yes", help="Approve without asking.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    teardown: Annotated[bool, typer.Option("--teardown", help="Only end a demo that was kept.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the local AWS.")] = 4566,
    runtime: Annotated[Runtime, typer.Option(help="How jobs and endpoints run.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what the steps are.")] = False,
    as_json: Json = False,
) -> None:
    """From a dataset to predictions from an approved model, on a local AWS, with the real Terraform."""
    desk = Desk(as_json=as_json)
    if dry_run:
        steps = [(step.name, step.title) for step in (SET_UP, START, *JOURNEY, TEAR_DOWN, STOP)]
        desk.show({"steps": steps}, text="\n".join(f"{name:>20}  {title}" for name, title in steps))
        return
    journey = open_journey(desk, Options(runtime=runtime, port=port, ask=lambda _evidence: yes or ask()))
    outcomes: list[Outcome] = []
    if teardown:
        journey.shell.point_at(desk.settings.build / "local" / "aws.env")
        go_back(journey, outcomes)
    else:
        travel(journey, outcomes, keep=keep)
    kept = keep and len(outcomes) > 2
    # The end of a kept demo must not take the place of its record.
    name = "demo-teardown" if teardown else "demo"
    record = write_record(journey, outcomes, kept=kept, name=name)
    desk.show(record, text=render_summary(record))
    if kept:
        desk.report(describe_kept(journey))
    if not record["ok"]:
        failed = next(step for step in record["steps"] if not step["ok"])
        raise RunError(f"The demo failed at {failed['name']}: {failed['error']}")


def travel(journey: Journey, outcomes: list[Outcome], *, keep: bool) -> None:
    """The steps, and the way back whatever happens, unless all is to be kept."""
    if not run_steps((SET_UP, START), journey, outcomes):
        return
    try:
        run_steps(JOURNEY, journey, outcomes)
    finally:
        if not keep:
            go_back(journey, outcomes)


def go_back(journey: Journey, outcomes: list[Outcome]) -> None:
    """Both are tried: a teardown that fails must not leave the server running."""
    run_steps((TEAR_DOWN,), journey, outcomes)
    run_steps((STOP,), journey, outcomes)


def open_journey(desk: Desk, options: Options) -> Journey:
    lock = threading.Lock()

    def report(line: str) -> None:
        with lock:
            desk.report(line)

    settings = desk.settings
    commit = read_commit(settings.checkout, os.environ)
    environ = children_environment(os.environ, commit=commit, build=settings.build)
    shell = Shell(checkout=settings.checkout, environ=environ, report=report)
    return Journey(settings=settings, options=options, shell=shell, facts=Facts(), report=report)


def ask() -> bool:
    return typer.confirm("Approve this model for production?")


def describe_kept(journey: Journey) -> str:
    """How to talk to what is left running."""
    production: dict[str, Any] = journey.facts.production
    endpoint = production.get("endpoint", "")
    return f"""
Everything is left running. To talk to it:
  set -a; . {journey.settings.build / "local" / "aws.env"}; set +a
  mlops status --env production
  aws sagemaker describe-endpoint --endpoint-name {endpoint}
  python -c 'import boto3; print(boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName="{endpoint}",
    ContentType="text/csv", Body=b"5.1,3.5,1.4,0.2")["Body"].read())'
To end it: mlops demo --teardown"""
