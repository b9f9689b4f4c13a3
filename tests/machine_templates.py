"""The state machines' templates, filled in without Terraform."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODULES = Path(__file__).parents[1] / "iac" / "modules"
PLAIN = {
    "training_instance_count": 1,
    "training_volume_size_gb": 10,
    "training_max_runtime_s": 3600,
    "evaluation_instance_count": 1,
    "evaluation_volume_size_gb": 10,
    "evaluation_max_runtime_s": 1800,
    "training_longest_s": 3600,
    "training_wait_key": "",
    "training_spot_keys": "",
    "training_attempts": 3,
    "training_retry_least_s": 0,
    "training_retry_most_s": 1,
    "evaluation_attempts": 3,
    "evaluation_retry_least_s": 0,
    "evaluation_retry_most_s": 1,
    "training_poll_s": 1,
    "evaluation_poll_s": 1,
    "training_isolation": "true",
    "training_encryption": "true",
    "training_volume_key": "",
    "evaluation_isolation": "true",
    "evaluation_encryption": "true",
    "evaluation_volume_key": "",
    "vpc_config": "",
    "approval_timeout_s": 604800,
    "timeout_s": 1800,
    "machine_timeout_s": 1_000_000,
}


def render(name: str, **values: Any) -> dict[str, Any]:
    """The definition of a machine; strings that are not given stand for themselves, sums are added up."""
    text = (MODULES / name / f"{name}.asl.json.tftpl").read_text()
    given = {**PLAIN, "serving_json": "{}", **values}

    def fill(match: re.Match[str]) -> str:
        terms = [term.strip() for term in match[1].split("+")]
        found = [int(term) if term.isdigit() else given.get(term, term) for term in terms]
        return str(sum(found)) if len(found) > 1 else str(found[0])

    definition: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]*)\}", fill, text))
    return definition


def targets(state: dict[str, Any]) -> Iterator[str]:
    """Every state that may come next."""
    for rule in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        if "Next" in rule:
            yield rule["Next"]
    if "Default" in state:
        yield state["Default"]


def tasks(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in definition["States"].items() if state["Type"] == "Task"}
