"""show, compare, reproduce: what is known about runs, and whether it is true (flow 2)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipeline import reproduction
from pipeline.cli.desk import Desk, Env, Json
from pipeline.cli.models import RunId, open_runs
from pipeline.conformance.containers import telling_engine_errors
from pipeline.lineage import compare_runs, describe_run


def show(run_id: RunId, env: Env = "staging", as_json: Json = False) -> None:
    """Where a run's model came from, what was measured of it, and how it ended."""
    desk = Desk(as_json=as_json)
    run = open_runs(desk, env).get(run_id)
    facts = describe_run(run)
    width = max(len(name) for name in facts)
    desk.show(
        {"run": run}, text="\n".join(f"{name:>{width}}  {_shown(value)}" for name, value in facts.items())
    )


def compare(
    one: Annotated[str, typer.Argument(help="A run.")],
    other: Annotated[str, typer.Argument(help="Another one.")],
    env: Env = "staging",
    as_json: Json = False,
) -> None:
    """Two runs beside each other, fact by fact; a difference is the second's less the first's."""
    desk = Desk(as_json=as_json)
    runs = open_runs(desk, env)
    facts = compare_runs(runs.get(one), runs.get(other))
    table = Table("fact", one, other, "difference")
    for fact in facts:
        difference = "" if fact["difference"] is None else f"{fact['difference']:+.4g}"
        told = difference or ("" if fact["same"] else "differs")
        table.add_row(fact["fact"], _shown(fact["one"]), _shown(fact["other"]), told)
    desk.show({"facts": facts}, text=table)


def reproduce(
    run_id: RunId,
    env: Env = "staging",
    timeout: Annotated[float, typer.Option(help="Seconds for the training.")] = reproduction.TRAIN_LIMIT_S,
    as_json: Json = False,
) -> None:
    """Train a run's model again on this machine, from what is recorded of it, and compare the predictions.

    It takes the exact dataset version and the exact image, which this checkout must have built. Ends with 7
    if the predictions differ.
    """
    desk = Desk(as_json=as_json)
    run = open_runs(desk, env).get(run_id)
    recipe = reproduction.read_recipe(run, sagemaker=desk.aws.client("sagemaker"))
    s3 = desk.aws.client("s3")
    with reproduction.new_folder() as place, telling_engine_errors():
        work = Path(place)
        runtime, environment = reproduction.open_image(desk.settings, run["model"], recipe, work)
        try:
            recorded = reproduction.fetch_model(recipe, work, s3=s3)
            dataset = reproduction.fetch_dataset(recipe, work, s3=s3)
            desk.report(f"{run_id}: training again, {runtime.name}, {recipe.training_image_digest}")
            again = reproduction.train_again(
                runtime, dataset, work=work, environment=environment, limit_s=timeout
            )
        finally:
            runtime.close()
    comparison = reproduction.compare_models(recorded, again)
    result = {"recipe": asdict(recipe), "comparison": asdict(comparison), "equal": comparison.equal}
    how = "the same bytes" if comparison.identical else f"up to {comparison.largest_difference:.3g}"
    desk.show(
        result,
        text=f"{run_id}: model.onnx {comparison.recorded_onnx_sha256}\n"
        f"again: model.onnx {comparison.reproduced_onnx_sha256}\n"
        f"predictions equal: {'yes' if comparison.equal else 'no'} ({how})",
    )
    reproduction.check_comparison(comparison, recipe)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
