"""checkov over the source and over the plans that this deployment was made from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cost_table import DOCUMENT, render, replace_table
from kept_demo import ROOT, Deployment

from pipeline.prices import load_prices

sys.path.insert(0, str(ROOT / "scripts"))

import scan
from checks.definitions import deployments, jobs, tasks
from machine.packages import ensure_scanner

# The plans are the same whichever way images run.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")


def test_exactly_what_is_expected_passes_in_the_source_and_in_the_plans(
    deployment: Deployment, tmp_path: Path
) -> None:
    command = [sys.executable, "scripts/scan.py", "--plans", str(deployment.demo_plans)]
    done = subprocess.run(
        [*command, "--results", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "scan.sarif").read_text())["version"] == "2.1.0"


def test_a_mistake_in_a_state_machine_is_found_in_its_plan(deployment: Deployment, tmp_path: Path) -> None:
    plan = json.loads((deployment.demo_plans / "environment-staging" / "plan.json").read_text())
    for resource in state_machines(plan):
        resource["definition"] = json.dumps(damage(json.loads(resource["definition"])))
    damaged = tmp_path / "plans" / "environment-staging" / "plan.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text(json.dumps(plan))

    found = scan.run_checkov(
        scan.plan_target(tmp_path / "plans", tmp_path / "copies"),
        python=ensure_scanner(ROOT).value,
        results=tmp_path,
    )

    failed = {failure.check for failure in found["plan-environment-staging"].failures}
    assert {check for check in failed if "MLOPS" in check} == {
        f"CKV_MLOPS_{number}" for number in range(1, 7)
    }


def test_the_documents_costs_are_those_of_the_plans(deployment: Deployment) -> None:
    document = DOCUMENT.read_text()

    table = render(deployment.demo_plans, load_prices())
    assert replace_table(document, table) == document, "run tests/functional/cost_table.py"


def state_machines(value: Any) -> Iterator[dict[str, Any]]:
    """Wherever a plan says a definition: as it was, as it will be, as it is planned."""
    if isinstance(value, dict):
        if isinstance(value.get("definition"), str):
            yield value
        for part in value.values():
            yield from state_machines(part)
    if isinstance(value, list):
        for part in value:
            yield from state_machines(part)


def damage(definition: dict[str, Any]) -> dict[str, Any]:
    """One mistake against each of our rules, where the definition has what the rule is about."""
    _, first = next(iter(tasks(definition)))
    change(first, TimeoutSeconds=None, ResultPath="$")
    for _, parameters in jobs(definition):
        change(parameters, EnableNetworkIsolation=False, EnableInterContainerTrafficEncryption=False)
        if "AlgorithmSpecification" in parameters:
            change(parameters["ResourceConfig"], InstanceCount=2)
            change(parameters["AlgorithmSpecification"], TrainingImage="repository:latest")
    for _, serving in deployments(definition):
        change(serving, network_isolation=False)
    return definition


def change(place: Any, **values: Any) -> None:
    place.update(values)
