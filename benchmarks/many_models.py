"""How much longer a plan of many models takes than a plan of one, and what it needs.

    python benchmarks/many_models.py [--models 1 10 50] [--runs 3] [--port 4770]

A plan of the environment root as `mlops plan` makes it, on a local AWS where nothing is applied yet, so that
every resource of every model is planned. The sizes take turns, so that what else the machine does falls on
all of them; one model is the peer of the others. A core that is already there is played by its outputs.
Writes build/bench/many_models.json; ends with 1 when the largest takes more than three times as long as one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from deployment import MLOPS, ROOT, write_result

from pipeline.package import build_package
from pipeline.toolchain import find_toolchain, terraform_environment

LIMIT = 3.0
BUCKET = "many-tfstate-000000000000"
CORE = {
    "data_kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000",
    "approval_key_arn": "arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111",
    "ledger_bucket": "mlops-ledger-123456789012",
}


class Planner:
    """The environment root in a folder of its own, with its backend in the local AWS."""

    def __init__(self, folder: Path, variables: Mapping[str, str]):
        toolchain = find_toolchain(ROOT, os.environ)
        self._terraform = str(toolchain.terraform)
        self._folder = folder
        self._root = folder / "iac" / "environment"
        shutil.copytree(ROOT / "iac", folder / "iac", ignore=shutil.ignore_patterns("tests", "examples"))
        build_package(ROOT, folder / "lambda.zip")
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environ = terraform_environment(
            outside | dict(variables), terraform_rc=toolchain.terraform_rc
        ) | {"TF_DATA_DIR": str(folder / "data")}

    def open(self) -> None:
        backend = [f"-backend-config={name}" for name in (f"bucket={BUCKET}", "region=us-east-1")]
        self._run("init", *backend)
        self._run("workspace", "select", "-or-create=true", "staging")

    def plan(self, count: int) -> dict[str, Any]:
        """Seconds by the wall and of CPU, and the number of resources planned."""
        variables = self._folder / f"{count}.tfvars.json"
        variables.write_text(json.dumps(self._variables(count)))
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        saved = f"-out={self._folder / 'plan.tfplan'}"
        out = self._run("plan", "-json", saved, f"-var-file={variables}")
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = (json.loads(line) for line in out.splitlines())
        (summary,) = (line["changes"] for line in lines if line["type"] == "change_summary")
        return {
            "seconds": round(seconds, 2),
            "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
            "resources": summary["add"],
        }

    def _variables(self, count: int) -> dict[str, Any]:
        names = [f"model-{number}" for number in range(count)]
        image = f"registry.example/model@sha256:{'a' * 64}"
        folder = self._folder / "models"
        for name in names:
            if not (folder / name).exists():
                shutil.copytree(ROOT / "model_src" / "models" / "iris", folder / name)
        return {
            "environment": "staging",
            "models": {name: {} for name in names},
            "images": {name: {"training": image, "serving": image} for name in names},
            "models_folder": str(folder),
            "state_bucket": BUCKET,
            "lambda_package": str(self._folder / "lambda.zip"),
            "commit": "abcdef1",
        }

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._terraform, *arguments],
            cwd=self._root,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"terraform {arguments[0]} failed:\n{done.stderr[-4000:]}")
        return done.stdout


def put_core_state(variables: Mapping[str, str]) -> None:
    """A state of core that says what an environment asks of it."""
    os.environ.update(variables)
    s3 = boto3.Session(profile_name="admin").client("s3")
    s3.create_bucket(Bucket=BUCKET)
    outputs = {name: {"value": value, "type": "string"} for name, value in CORE.items()}
    state = {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "core", "outputs": outputs}
    s3.put_object(Bucket=BUCKET, Key="core/terraform.tfstate", Body=json.dumps(state | {"resources": []}))


def measure(sizes: list[int], runs: int, planner: Planner) -> dict[int, list[dict[str, Any]]]:
    planner.open()
    found: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
    planner.plan(sizes[0])  # the first one fills the file cache
    for _ in range(runs):
        for size in sizes:
            found[size].append(planner.plan(size))
            print(f"{size} models: {found[size][-1]}")
    return found


def summarise(found: Mapping[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    def median(size: int, what: str) -> float:
        return float(round(statistics.median(run[what] for run in found[size]), 2))

    one = median(min(found), "seconds")
    return [
        {
            "models": size,
            "resources": runs[0]["resources"],
            "seconds": median(size, "seconds"),
            "cpu_s": median(size, "cpu_s"),
            "times_one": round(median(size, "seconds") / one, 2),
            "runs": [run["seconds"] for run in runs],
        }
        for size, runs in found.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--port", type=int, default=4770)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        build = Path(scratch) / "build"
        environ = os.environ | {"MLOPS_BUILD_DIR": str(build)}
        up = [MLOPS, "local", "up", "--port", str(options.port), "--runtime", "process"]
        subprocess.run(up, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
        try:
            lines = (build / "local/aws.env").read_text().splitlines()
            variables = dict(line.split("=", 1) for line in lines)
            put_core_state(variables)
            found = measure(sorted(options.models), options.runs, Planner(Path(scratch) / "work", variables))
        finally:
            subprocess.run(
                [MLOPS, "local", "down"], cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL
            )
    result = summarise(found)
    ok = result[-1]["times_one"] <= LIMIT
    write_result("many_models", {"limit_times_one": LIMIT, "ok": ok, "sizes": result})
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
