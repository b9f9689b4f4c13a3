"""track: runs beside each other in MLflow (flow 2)."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from pipeline.cli.desk import Desk, Env, Json
from pipeline.cli.models import open_runs, track_run
from pipeline.errors import TrackingError, UsageError
from pipeline.tracking import open_client


def track(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Runs, as `mlops runs` lists them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run there is.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="With --all: of this model only.")] = None,
    env: Env = "staging",
    as_json: Json = False,
) -> None:
    """Mirror runs into the MLflow tracking server that MLFLOW_TRACKING_URI names.

    Each has one MLflow run, in an experiment of its model and environment: hyperparameters, dataset, commit
    and images as parameters; the candidate's and the champion's metrics; evaluation, page and lineage as
    artifacts. What MLflow knows already is not told again. `mlops watch` and `mlops retrain` do this too.
    """
    desk = Desk(as_json=as_json)
    if run_ids and every:
        raise UsageError("Runs by name and --all exclude each other. Give one of them.")
    if not run_ids and not every:
        raise UsageError("Which runs? Name them, or give --all.")
    client = open_client(os.environ)
    table = open_runs(desk, env)
    runs = table.all() if every else [table.get(run_id) for run_id in run_ids or ()]
    chosen = [run for run in runs if model in (None, run["model"])]
    if not every and len(chosen) < len(runs):
        others = [f"{run['run_id']} is of {run['model']}" for run in runs if run not in chosen]
        raise UsageError(f"Not every run is of {model}: {', '.join(others)}.")
    done, failed = [], []
    for run in chosen:
        try:
            done.append(track_run(desk, run, env, client=client))
        except TrackingError as error:
            failed.append(str(error))
            desk.report(f"{run['run_id']}: failed")
        else:
            desk.report(f"{run['run_id']}: {'told' if done[-1].changed else 'known'}")
    listed = Table("run", "experiment", "MLflow run", "changed")
    for tracked in done:
        listed.add_row(
            tracked.run_id, tracked.experiment, tracked.mlflow_run_id, "yes" if tracked.changed else "no"
        )
    desk.show(
        {"runs": [asdict(tracked) for tracked in done]}, text=listed if chosen else "There are no runs."
    )
    if failed:
        raise TrackingError(
            f"{len(failed)} of {len(chosen)} runs are not in MLflow as they stand. {'; '.join(failed)}."
        )
