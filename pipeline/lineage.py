"""Where a run's model came from and how good it was, and two runs beside each other. Flow 2, from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a run's item knows, in the order of its life; what it does not know yet is left out.
FACTS = (
    "run_id",
    "model",
    "status",
    "reason",
    "created_at",
    "updated_at",
    "uploaded_by",
    "route",
    "bucket",
    "key",
    "version_id",
    "dataset_sha256",
    "rows",
    "execution_arn",
    "model_uri",
    "model_sha256",
    "champion_run_id",
    "model_package_arn",
)


def describe_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run's facts, its metrics and the end of each of its releases, by name."""
    known: dict[str, Any] = {name: run[name] for name in FACTS if run.get(name) is not None}
    known |= {f"metric {name}": value for name, value in sorted((run.get("metrics") or {}).items())}
    if run.get("parity"):
        known["parity"] = run["parity"].get("difference")
    releases = {name: value for name, value in run.items() if name.startswith("release_")}
    return known | {name.replace("_", " "): outcome["status"] for name, outcome in sorted(releases.items())}


def compare_runs(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each fact of either run, whether they differ in it, and by how much where it is a number.

    `difference` is the second run's less the first's.
    """
    left, right = describe_run(one), describe_run(other)
    return [_compare(name, left.get(name), right.get(name)) for name in {**left, **right}]


def _compare(name: str, one: Any, other: Any) -> dict[str, Any]:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return {
        "fact": name,
        "one": one,
        "other": other,
        "same": one == other,
        "difference": other - one if numbers else None,
    }
