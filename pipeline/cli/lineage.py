"""show, compare: what is known about runs (flow 2)."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from pipeline.cli.desk import Desk, Env, Json
from pipeline.cli.models import RunId, open_runs
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


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
