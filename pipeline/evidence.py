"""What a person is shown before answering at the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ORIGIN = (
    "run_id",
    "uploaded_by",
    "bucket",
    "key",
    "version_id",
    "dataset_sha256",
    "rows",
    "model_package_arn",
)


def render_evidence(run: Mapping[str, Any]) -> str:
    """Where the model came from, how good it is, and what the smoke test saw, a line each."""
    facts = {name: run.get(name) for name in _ORIGIN}
    facts["metrics"] = _join(run.get("metrics") or {})
    if parity := run.get("parity"):
        facts["parity"] = _join(parity)
    if smoke := run.get("smoke"):
        facts["image_digest"] = smoke["image_digest"]
        facts["smoke"] = _describe_smoke(smoke["requests"])
    width = max(len(name) for name in facts)
    return "\n".join(f"{name:>{width}}  {'-' if value is None else value}" for name, value in facts.items())


def _join(numbers: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shorten(value)}" for name, value in sorted(numbers.items()))


def _shorten(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _describe_smoke(requests: list[dict[str, Any]]) -> str:
    slowest = max((request["latency_ms"] for request in requests), default=0)
    return f"{len(requests)} golden requests answered correctly, the slowest in {slowest} ms"
