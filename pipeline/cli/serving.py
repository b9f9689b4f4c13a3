"""status, smoke, predict, history, served, ledger: what serves, whether it works, and how it came to be."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.artefact import read_json
from pipeline.cli.desk import Desk, Env, Json, Model
from pipeline.cli.models import open_runs
from pipeline.lambdas.smoke import smoke as smoke_endpoint
from pipeline.ledger import GENESIS, Ledger, verify_ledger
from pipeline.names import PipelineNames
from pipeline.prediction import predict as ask_endpoint
from pipeline.prediction import read_body, render_instances
from pipeline.served import find_served, parse_time
from pipeline.settings import Environment, parse_environment, pick_model
from pipeline.status import Lookup, read_status, wanted_release

ledger = typer.Typer(help="The ledger's chain of entries.", no_args_is_help=True)


def status(model: Model = None, env: Env = "staging", as_json: Json = False) -> None:
    """What serves now: endpoint, image, model, dataset, approver."""
    desk = Desk(as_json=as_json)
    found = asdict(read_status(open_lookup(desk, env), desk.names(env), pick_model(desk.settings, model)))
    desk.show(
        found,
        text="\n".join(f"{name:>18}  {'-' if value is None else value}" for name, value in found.items()),
    )


def smoke(model: Model = None, env: Env = "staging", as_json: Json = False) -> None:
    """Check that the endpoint runs what was released, and send it its golden requests. Ends with 9 if not."""
    desk = Desk(as_json=as_json)
    name, names, lookup = pick_model(desk.settings, model), desk.names(env), open_lookup(desk, env)
    release = wanted_release(lookup, read_status(lookup, names, name), project=desk.settings.project)
    evidence = smoke_endpoint(
        release,
        golden=read_golden(desk, names, name),
        sagemaker=lookup.sagemaker,
        runtime=desk.aws.client("sagemaker-runtime"),
        clock=time.perf_counter,
    )
    requests = evidence["requests"]
    slowest = max(request["latency_ms"] for request in requests)
    desk.show(
        {"endpoint": release.endpoint_name, **evidence},
        text=f"{release.endpoint_name}: {len(requests)} golden requests right, slowest {slowest} ms",
    )


def predict(
    file: Annotated[
        Path | None, typer.Argument(help="CSV or JSON instances; without it, the model's golden requests.")
    ] = None,
    model: Model = None,
    env: Env = "staging",
    as_json: Json = False,
) -> None:
    """Call the endpoint and print its predictions."""
    desk = Desk(as_json=as_json)
    name, names = pick_model(desk.settings, model), desk.names(env)
    endpoint = names.model(name).endpoint
    if file:
        body, content_type = read_body(file)
    else:
        instances = [request["instance"] for request in read_golden(desk, names, name)]
        body, content_type = render_instances(instances), "application/json"
    runtime = desk.aws.client("sagemaker-runtime")
    predictions = ask_endpoint(runtime, endpoint, body, content_type=content_type)
    desk.show(
        {"endpoint": endpoint, "predictions": predictions},
        text="\n".join(json.dumps(prediction) for prediction in predictions),
    )


def history(
    env: Annotated[
        Environment | None,
        typer.Option("--env", parser=parse_environment, help="Only this environment; all by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The ledger, checked link by link: what ran, was refused, served, and by whose approval."""
    desk = Desk(as_json=as_json)
    entries = [entry for entry in open_ledger(desk).entries() if env in (None, entry.body.get("environment"))]
    table = Table("#", "at", "kind", "environment", "run or plan", "status", "by", "reason")
    for entry in entries:
        body = entry.body
        environment, run, status, reason = (
            str(body.get(name) or "") for name in ("environment", "run_id", "status", "reason")
        )
        if "plan_sha256" in body:
            run = f"{body['stack']} {body['plan_sha256'][:12]}"
        details = body.get("details", {})
        person = body.get("by") or details.get("by") or details.get("release", {}).get("approved_by") or ""
        table.add_row(
            str(entry.sequence), entry.at[:19], entry.kind, environment, run, status, person, reason
        )
    desk.show({"entries": [asdict(entry) for entry in entries]}, text=table)


def served(
    at: Annotated[str, typer.Option(help="A time in ISO 8601; UTC where it names no zone.")],
    model: Model = None,
    env: Annotated[
        Environment,
        typer.Option("--env", parser=parse_environment, metavar="staging|production|pro", help="Where."),
    ] = "production",
    as_json: Json = False,
) -> None:
    """Say which model, image and dataset answered at a time gone by, with the ledger's entry as the proof."""
    desk = Desk(as_json=as_json)
    name = pick_model(desk.settings, model)
    time_asked = parse_time(at, now=datetime.now(UTC))
    found = asdict(find_served(open_ledger(desk).entries(), environment=env, model=name, at=time_asked))
    desk.show(
        found,
        text="\n".join(f"{key:>18}  {'-' if value is None else value}" for key, value in found.items()),
    )


@ledger.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(help="The hash that this command told earlier: it has to be in the chain still."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every entry's bytes and every link. Ends with 10 at the first that is broken, and names it."""
    desk = Desk(as_json=as_json)
    last = verify_ledger(open_ledger(desk).entries(), head=head)
    count, sha256 = (last.sequence, last.sha256) if last else (0, GENESIS)
    desk.show(
        {"entries": count, "head": sha256, "intact": True},
        text=f"{count} entries, each intact and linked to the one before. Head: {sha256}",
    )


def open_ledger(desk: Desk) -> Ledger:
    bucket = desk.names("staging").ledger_bucket
    return Ledger(bucket, s3=desk.aws.client("s3"), now=lambda: datetime.now(UTC), sleep=time.sleep)


def read_golden(desk: Desk, names: PipelineNames, model: str) -> list[dict[str, Any]]:
    """The golden requests of the environment, which may be older than those of this checkout."""
    uri = f"s3://{names.models_bucket}/config/{model}/model.json"
    contract, _sha256 = read_json(uri, s3=desk.aws.client("s3"))
    golden: list[dict[str, Any]] = contract["golden"]
    return golden


def open_lookup(desk: Desk, environment: Environment) -> Lookup:
    return Lookup(
        sagemaker=desk.aws.client("sagemaker"),
        s3=desk.aws.client("s3"),
        runs=open_runs(desk, environment),
    )
