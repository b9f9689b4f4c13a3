"""upload, retrain, runs, watch, redrive: a model's way from a dataset to its approval (flow 2)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.cli.desk import Desk, DryRun, Env, Json, Model
from pipeline.errors import RunError
from pipeline.evidence import render_evidence
from pipeline.redrive import redrive as hand_on
from pipeline.runs_table import RunsTable
from pipeline.settings import Environment, parse_environment, pick_model
from pipeline.tracking import Sources, Tracked, conceal, open_client, read_facts, track, tracking_uri
from pipeline.upload import dataset_key, upload_dataset
from pipeline.watch import Patience, check_release, check_run, follow_release, follow_run

RunId = Annotated[str, typer.Argument(help="The run, as `mlops upload` and `mlops runs` give it.")]


def upload(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header.")],
    model: Model = None,
    env: Env = "staging",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put a dataset into the watched bucket. The upload itself starts the retraining."""
    desk = Desk(as_json=as_json)
    name = pick_model(desk.settings, model)
    bucket, key = dataset_key(desk.names(env), name, file)
    if dry_run:
        desk.show({"bucket": bucket, "key": key}, text=f"Would put {file} to s3://{bucket}/{key}.")
        return
    uploaded = upload_dataset(desk.aws.client("s3"), file, model=name, bucket=bucket, key=key)
    desk.show(
        asdict(uploaded),
        text=f"s3://{bucket}/{key} version {uploaded.version_id}\nrun {uploaded.run_id}",
    )


def retrain(
    model: Annotated[
        str | None, typer.Option("--model", help="Only this model; all of mlops.toml by default.")
    ] = None,
    env: Env = "staging",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each run.")] = 3600,
    as_json: Json = False,
) -> None:
    """Upload each model's own train.csv, which starts a run, and follow the run to its gate.

    Ends with 7 if a run ends badly.
    """
    desk = Desk(as_json=as_json)
    chosen = (pick_model(desk.settings, model),) if model else desk.settings.models
    s3, states, table = desk.aws.client("s3"), desk.aws.client("stepfunctions"), open_runs(desk, env)
    ended = []
    for name in chosen:
        file = desk.settings.model_folder(name) / "train.csv"
        bucket, key = dataset_key(desk.names(env), name, file)
        uploaded = upload_dataset(s3, file, model=name, bucket=bucket, key=key)
        patience = Patience(end_s=timeout)
        run = follow_run(
            table, states, uploaded.run_id, past_gate=False, patience=patience, report=desk.report
        )
        mirror_run(desk, table, uploaded.run_id, env)
        check_run(run)
        ended.append(run)
    desk.show(
        {"runs": ended},
        text="\n".join(f"{render_evidence(run)}\n{run['run_id']}: {run['status']}" for run in ended),
    )


def runs(model: Model = None, env: Env = "staging", as_json: Json = False) -> None:
    """List the runs, the newest first."""
    desk = Desk(as_json=as_json)
    found = [run for run in open_runs(desk, env).all() if model in (None, run["model"])]
    table = Table("run", "status", "uploaded by", "dataset", "since", "reason")
    for run in found:
        dataset = f"{run['key']} ({run['version_id'][:8]})"
        table.add_row(
            run["run_id"],
            run["status"],
            run.get("uploaded_by") or "?",
            dataset,
            run["updated_at"][:19],
            run.get("reason") or "",
        )
    desk.show({"runs": found}, text=table)


def watch(
    run_id: RunId,
    env: Env = "staging",
    past_gate: Annotated[
        bool, typer.Option("--past-gate", help="Do not end at the gate: wait for the answer.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the end.")] = 3600,
    as_json: Json = False,
) -> None:
    """Follow a run to its gate, with the evidence, or its end; with --env production, its release.

    Ends with 7 if the run ends badly.
    """
    desk = Desk(as_json=as_json)
    patience = Patience(end_s=timeout)
    table = open_runs(desk, env)
    if desk.names(env).promotes_from:
        outcome = follow_release(table, run_id, environment=env, patience=patience, report=desk.report)
        mirror_run(desk, table, run_id, env)
        desk.show({"run_id": run_id, **outcome}, text=f"{run_id}: {outcome['status']} in {env}")
        check_release(run_id, env, outcome)
        return
    states = desk.aws.client("stepfunctions")
    run = follow_run(table, states, run_id, past_gate=past_gate, patience=patience, report=desk.report)
    mirror_run(desk, table, run_id, env)
    desk.show(run, text=f"{render_evidence(run)}\n{run_id}: {run['status']}")
    check_run(run)


def redrive(env: Env = "staging", dry_run: DryRun = False, as_json: Json = False) -> None:
    """Hand on the dead letters: events that nobody took, and those that a function failed on.

    What is handed on twice does nothing twice. What cannot be is in the queue again after ten minutes, and
    the command ends with 7. A dry run tells of the first ten and leaves them.
    """
    desk = Desk(as_json=as_json)
    machine = desk.names(env).redrive_arn
    letters = hand_on(desk.aws.client("stepfunctions"), machine, dry_run=dry_run)
    table = Table("about", "was not delivered", "outcome", "reason")
    for letter in letters:
        table.add_row(letter.about, letter.error, letter.outcome, letter.reason)
    desk.show(
        {"letters": [asdict(letter) for letter in letters]},
        text=table if letters else f"{env} has no dead letters.",
    )
    left = [letter.about for letter in letters if letter.outcome == "left"]
    if left:
        raise RunError(
            f"{len(left)} of {len(letters)} dead letters could not be handed on: {', '.join(left)}."
        )


def open_runs(desk: Desk, environment: Environment) -> RunsTable:
    return RunsTable(desk.names(environment).runs_table, dynamodb=desk.aws.client("dynamodb"))


def mirror_run(desk: Desk, table: RunsTable, run_id: str, environment: Environment) -> None:
    """The run in MLflow, where a tracking server is configured; what goes wrong on the way is a warning."""
    if tracking_uri(os.environ) is None:
        return
    try:
        tracked = track_run(desk, table.get(run_id), environment, client=open_client(os.environ))
    except Exception as error:  # noqa: BLE001 - a delivery does not end by what only looks on
        told = f"{type(error).__name__}: {conceal(error)}"
        desk.report(
            f"warning: run {run_id} is not in MLflow as it stands ({told}). "
            f"Catch up with `mlops track {run_id} --env {environment}`."
        )
        return
    desk.report(f"{tracked.run_id}: in MLflow's {tracked.experiment} as {tracked.mlflow_run_id}")


def track_run(desk: Desk, run: Mapping[str, Any], environment: Environment, *, client: Any) -> Tracked:
    """The run's counterpart in MLflow: in the experiment of its model and of where it was trained."""
    trained_in = parse_environment(desk.names(environment).promotes_from or environment)
    sources = Sources(*(desk.aws.client(name) for name in ("s3", "sagemaker", "stepfunctions")))
    experiment = f"{desk.settings.project}-{trained_in}-{run['model']}"
    return track(client, read_facts(run, sources), experiment=experiment)
