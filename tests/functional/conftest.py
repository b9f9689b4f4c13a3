"""One deployment per runtime, made by `mlops demo --keep`, shared by the tests and ended with a check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kept_demo import PLANTED_SECRET, ROOT, Deployment

PORTS = {"process": 4750, "container": 4760}


@pytest.fixture(scope="session", params=["process", pytest.param("container", marks=pytest.mark.engine)])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def deployment(runtime: str) -> Iterator[Deployment]:
    """A whole demo, left running for the tests; torn down by the product's own teardown."""
    build_dir = ROOT / "build" / "test" / runtime
    place = Deployment(build_dir=build_dir, port=PORTS[runtime], runtime=runtime)
    run_demo(place, "--yes", "--keep")
    yield replace(place, demo=json.loads((build_dir / "demo.json").read_text()))
    run_demo(place, "--teardown")
    left_over = json.loads((build_dir / "demo-teardown.json").read_text())["left_over"]
    assert left_over == []


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
