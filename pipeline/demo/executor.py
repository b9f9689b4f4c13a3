"""Runs the demo's steps in order, times them, tears down in the end, and writes down how it went."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from pipeline.demo.journey import Facts, Journey, Step
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Outcome:
    name: str
    seconds: float
    ok: bool
    error: str | None = None


def run_steps(
    steps: Iterable[Step],
    journey: Journey,
    outcomes: list[Outcome],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """True if each step did what it says; ends at the first that did not."""
    for step in steps:
        if step.needs_approval and journey.facts.rejected:
            continue
        journey.report(f"\n== {step.title}")
        outcome = _run_step(step, journey, clock)
        outcomes.append(outcome)
        journey.report(f"-- {step.name}: {'done' if outcome.ok else 'FAILED'} in {outcome.seconds} s")
        if not outcome.ok:
            journey.report(f"   {outcome.error}")
            return False
    return True


def _run_step(step: Step, journey: Journey, clock: Callable[[], float]) -> Outcome:
    began = clock()
    try:
        step.run(journey)
    except PipelineError as error:
        return Outcome(step.name, round(clock() - began, 1), ok=False, error=str(error))
    return Outcome(step.name, round(clock() - began, 1), ok=True)


def write_record(
    journey: Journey, outcomes: list[Outcome], *, kept: bool, name: str = "demo"
) -> dict[str, Any]:
    """build/<name>.json."""
    facts = asdict(journey.facts)
    record = {
        "ok": all(outcome.ok for outcome in outcomes),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
        "steps": [asdict(outcome) for outcome in outcomes],
        "kept": kept,
        **facts,
        "provider_waiting_total_s": total_waiting(journey.facts),
    }
    file = journey.settings.build / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=2, default=str) + "\n")
    return record


def total_waiting(facts: Facts) -> float:
    """Of what ran side by side the longest counts."""
    together: dict[tuple[str, bool], float] = {}
    for name, seconds in facts.provider_waiting_s.items():
        verb, _, stack = name.partition(" ")
        group = (verb, True) if stack.startswith("environment-") else (name, False)
        together[group] = max(together.get(group, 0.0), seconds)
    return round(sum(together.values()), 1)


def render_summary(record: dict[str, Any]) -> Table:
    table = Table("step", "seconds", "", title="The demo")
    for step in record["steps"]:
        table.add_row(step["name"], f"{step['seconds']:.1f}", "ok" if step["ok"] else "FAILED")
    table.add_section()
    waiting = record["provider_waiting_total_s"]
    table.add_row(
        "total", f"{record['seconds']:.1f}", f"{waiting:.1f} s of it the AWS provider's own waiting"
    )
    table.add_row("runtime", "", record["runtime"])
    table.add_row("predictions", "", ", ".join(describe_prediction(one) for one in record["predictions"]))
    table.add_row("quarantined", "", record["quarantined"])
    left_over = record["left_over"]
    table.add_row("left over", "", "not looked for" if left_over is None else str(len(left_over)))
    return table


def describe_prediction(prediction: dict[str, Any]) -> str:
    return str(prediction.get("label", prediction.get("value")))
