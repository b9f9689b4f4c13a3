"""Decide whether the candidate may reach the approval gate. Flow: dataset upload, fifth step.

The evaluation job measures; this function decides. It takes the gates from the environment's own
model.json, so an image that leaves a gate out, or was built with softer ones, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.artefact import hash_latest, read_json
from pipeline.champion import Champion, read_champion
from pipeline.champion import objections as champion_objections
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
    champion = read_champion(request["run_id"], models_bucket=models_bucket, s3=s3)
    metrics, parity = measured(evaluation), evaluation.get("parity")
    reasons = objections(evaluation, model=model, model_sha256=model_sha256, champion=champion)
    facts = {
        "metrics": metrics,
        "parity": parity,
        "model_uri": request["model_uri"],
        "model_sha256": model_sha256,
        "champion_run_id": champion.run_id,
    }
    runs.note(request["run_id"], {name: fact for name, fact in facts.items() if fact is not None}, now=now)
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


def objections(
    evaluation: Mapping[str, Any], *, model: Mapping[str, Any], model_sha256: str, champion: Champion
) -> list[str]:
    """Everything that speaks against the candidate; empty for a good one."""
    outcomes = evaluation.get("gates", [])
    failed = {gate["name"]: str(gate["message"]) for gate in outcomes if gate["passed"] is not True}
    reasons = list(failed.values())
    evaluated = evaluation.get("model_sha256")
    if evaluated != model_sha256:
        reasons.append(f"the evaluation is of model {evaluated}, not of {model_sha256}")
    measures, bounds = _measures(evaluation), _bounds(model["gates"], evaluation)
    for name in bounds.keys() - failed.keys():
        reasons += _bound_objections(name, measures.get(name), bounds[name])
    beside = champion_objections(evaluation, champion, model=model)
    reasons += [reason for gate, reason in beside if gate not in failed and "champion" not in failed]
    return sorted(reasons)


def _measures(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Everything that has a bound of its own, by its gate's name."""
    by_class = {
        f"{label}/{metric}": value
        for label, values in evaluation.get("classes", {}).items()
        for metric, value in values.items()
    }
    latency_ms = evaluation.get("latency", {}).get("median_ms")
    beside_ms = (evaluation.get("champion") or {}).get("latency_ms")
    return {
        **measured(evaluation),
        **by_class,
        "parity": evaluation.get("parity", {}).get("difference"),
        "latency_ms": latency_ms,
        "latency_ratio": latency_ms / beside_ms if latency_ms and beside_ms else None,
        "size_bytes": evaluation.get("size", {}).get("bytes"),
    }


def _bounds(gates: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The bound of each gate of model.json that is a number's; the ratio's only beside a champion."""
    bounds = {**gates["metrics"], "parity": {"max": gates["parity"]["tolerance"]}}
    for label, floors in gates.get("classes", {}).items():
        bounds |= {f"{label}/{metric}": {"min": floor} for metric, floor in floors.items()}
    latency = gates.get("latency", {})
    if "max_ms" in latency:
        bounds["latency_ms"] = {"max": latency["max_ms"]}
    if "max_ratio" in latency and (evaluation.get("champion") or {}).get("latency_ms"):
        bounds["latency_ratio"] = {"max": latency["max_ratio"]}
    if "max_size_bytes" in gates:
        bounds["size_bytes"] = {"max": gates["max_size_bytes"]}
    return bounds


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
