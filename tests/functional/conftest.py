"""One deployment per runtime, made by `mlops demo --keep`, shared by the tests and ended with a check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from iam_proof import Record, parse_roles, read_calls, read_policies
from kept_demo import PLANTED_SECRET, ROOT, Deployment
from ports import free_port

from localaws.mends import iam_conditions


@pytest.fixture(scope="session", params=["process", pytest.param("container", marks=pytest.mark.engine)])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def deployment(runtime: str) -> Iterator[Deployment]:
    """A whole demo, left running for the tests; torn down by the product's own teardown."""
    build_dir = ROOT / "build" / "test" / runtime
    place = Deployment(build_dir=build_dir, port=free_port(), runtime=runtime)
    run_demo(place, "--yes", "--keep")
    keep_plans(place)
    yield replace(place, demo=json.loads((build_dir / "demo.json").read_text()))
    run_demo(place, "--teardown")
    left_over = json.loads((build_dir / "demo-teardown.json").read_text())["left_over"]
    assert left_over == []


@pytest.fixture(scope="session")
def record(deployment: Deployment) -> Record:
    """The deployment's roles and every call made in them, the destruction of its environments included."""
    policies = read_policies(deployment.client("iam"), prefix="mlops-")
    confirmations = {"staging": (), "production": ("--confirm", "production")}
    with ThreadPoolExecutor() as pool:
        ended = pool.map(
            lambda name: deployment.mlops("destroy", "--env", name, *confirmations[name]), confirmations
        )
        for result in ended:
            assert result.exit_code == 0, result.stderr
    file = deployment.build_dir / "local" / "decisions.jsonl"
    calls = read_calls(json.loads(line) for line in file.read_text().splitlines())
    # For `make oracle`, which holds the evaluator against another.
    kept = {"roles": policies, "calls": [{"role": call.role, **call.line} for call in calls]}
    (deployment.build_dir / "record.json").write_text(json.dumps(kept))
    iam_conditions.apply()
    return Record(parse_roles(policies), calls)


def keep_plans(place: Deployment) -> None:
    shutil.rmtree(place.demo_plans, ignore_errors=True)
    for plan in (place.build_dir / "plans").glob("*/plan.json"):
        kept = place.demo_plans / plan.parent.name
        kept.mkdir(parents=True)
        (kept / plan.name).write_text(name_no_commit(plan.read_text()))


def name_no_commit(plan: str) -> str:
    """A plan of a commit of zeros: checkov tells a secret by its form, and takes more than a hash for one."""
    commit = json.loads(plan)["variables"].get("commit")
    return plan.replace(commit["value"], "0" * 40) if commit else plan


def run_demo(place: Deployment, *options: str) -> None:
    command = [str(Path(sys.executable).parent / "mlops"), "demo", "--port", str(place.port)]
    done = subprocess.run(
        [*command, "--runtime", place.runtime, *options],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        | {"MLOPS_BUILD_DIR": str(place.build_dir), "CI_TOKEN": PLANTED_SECRET},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
