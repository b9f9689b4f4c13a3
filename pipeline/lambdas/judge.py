"""Decide whether the candidate may reach the approval gate. Flow: dataset upload, fifth step.

The evaluation job measures; this function decides. It takes the floors from the environment's own
model.json, so an image that leaves a gate out, or was built with softer ones, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.artefact import hash_latest, read_json
from pipeline.lambdas import edge
from pipeline.runs_table import RunsTable


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{run_id, model, evaluation_uri, model_uri} -> {accepted, reasons, metrics, parity, *_sha256}"""
    return judge(
        event,
        models_bucket=edge.settings().models_bucket,
        s3=edge.client("s3"),
        runs=edge.runs(),
        now=edge.now(),
    )


def judge(
    request: dict[str, Any], *, models_bucket: str, s3: Any, runs: RunsTable, now: datetime
) -> dict[str, Any]:
    """The verdict on the candidate, every reason against it, and what was measured."""
    model, _ = read_json(f"s3://{models_bucket}/config/{request['model']}/model.json", s3=s3)
    evaluation, evaluation_sha256 = read_json(request["evaluation_uri"], s3=s3)
    model_sha256 = hash_latest(request["model_uri"], s3=s3).sha256
    metrics, parity = measured(evaluation), evaluation.get("parity")
    reasons = objections(evaluation, gates=model["gates"], model_sha256=model_sha256)
    runs.note(request["run_id"], {"metrics": metrics, "parity": parity}, now=now)
    return {
        "accepted": not reasons,
        "reasons": reasons,
        "reason": "; ".join(reasons),
        "metrics": metrics,
        "parity": parity,
        "model_sha256": model_sha256,
        "evaluation_sha256": evaluation_sha256,
    }


def measured(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The value of each metric in SageMaker's model-quality layout."""
    groups = [group for name, group in evaluation.items() if name.endswith("_metrics")]
    return {
        name: metric["value"]
        for group in groups
        for name, metric in group.items()
        if isinstance(metric, Mapping) and isinstance(metric.get("value"), int | float)
    }


def objections(evaluation: Mapping[str, Any], *, gates: Mapping[str, Any], model_sha256: str) -> list[str]:
    """Everything that speaks against the candidate; empty for a good one."""
    outcomes = evaluation.get("gates", [])
    failed = {gate["name"]: str(gate["message"]) for gate in outcomes if gate["passed"] is not True}
    reasons = list(failed.values())
    evaluated = evaluation.get("model_sha256")
    if evaluated != model_sha256:
        reasons.append(f"the evaluation is of model {evaluated}, not of {model_sha256}")
    measures = {**measured(evaluation), "parity": evaluation.get("parity", {}).get("difference")}
    bounds = {**gates["metrics"], "parity": {"max": gates["parity"]["tolerance"]}}
    for name in bounds.keys() - failed.keys():
        reasons += _bound_objections(name, measures.get(name), bounds[name])
    return sorted(reasons)


def _bound_objections(name: str, value: float | None, bounds: Mapping[str, float]) -> list[str]:
    if value is None:
        return [f"{name} was not measured"]
    reasons = []
    # Written so that not-a-number fails: it is neither above nor below anything.
    if "min" in bounds and not value >= bounds["min"]:
        reasons.append(f"{name} {value:g} is below the minimum {bounds['min']:g}")
    if "max" in bounds and not value <= bounds["max"]:
        reasons.append(f"{name} {value:g} is above the maximum {bounds['max']:g}")
    return reasons
