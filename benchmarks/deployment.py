"""A kept demo to measure in: started with `mlops demo --keep`, ended with `mlops demo --teardown`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from pipeline.names import PipelineNames, parse_names
from pipeline.settings import parse_environment, read_settings
from pipeline.stack import Stack, output_file

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build/bench"
MLOPS = str(Path(sys.executable).parent / "mlops")
DEMO_LIMIT_S = 1800


@dataclass(frozen=True)
class Deployment:
    """Where one deployment keeps its files; AWS is reached by the variables the local AWS wrote there."""

    build: Path
    port: int
    runtime: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def demo(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [MLOPS, "demo", "--yes", "--runtime", self.runtime, "--port", str(self.port), *options]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=DEMO_LIMIT_S,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return outside | {"MLOPS_BUILD_DIR": str(self.build)} | dict(self.variables)

    def demo_record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.build / "demo.json").read_text())
        return record

    def server_pid(self) -> int:
        return int(json.loads((self.build / "local/status.json").read_text())["pid"])

    def names(self, environment: str) -> PipelineNames:
        stack = Stack("environment", parse_environment(environment))
        outputs = json.loads(output_file(read_settings(self.environment()), stack).read_text())
        return parse_names(outputs["pipeline"])

    def client(self, service: str, *, profile: str) -> Any:
        for line in (self.build / "local/aws.env").read_text().splitlines():
            name, _, value = line.partition("=")
            os.environ[name] = value
        session: Any = boto3.Session(profile_name=profile)
        return session.client(service)


@contextmanager
def kept_demo(deployment: Deployment) -> Iterator[Deployment]:
    started = deployment.demo("--keep")
    try:
        if started.returncode:
            raise SystemExit(f"the demo failed:\n{started.stdout[-4000:]}\n{started.stderr[-4000:]}")
        yield deployment
    finally:
        ended = deployment.demo("--teardown")
        if ended.returncode:
            sys.stderr.write(f"the teardown failed:\n{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}\n")


def write_result(name: str, result: dict[str, Any], *, file: Path | None = None) -> None:
    """Prints the result and writes it to `file`, build/bench/<name>.json, with what it was measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    described = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit.stdout.strip(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **result,
    }
    target = file or RESULTS / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(described, indent=2) + "\n")
    print(f"{target}\n{json.dumps(result, indent=2)}")
