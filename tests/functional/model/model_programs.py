"""The image's tree of programs, made from the checkout and run as plain processes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ports import free_port

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "model_src" / "models"
PORT = free_port()


@dataclass(frozen=True)
class Programs:
    """One model's `train`, `evaluate` and `serve`, and the folder that is their /opt/ml."""

    tree: Path
    base: Path

    def start(self, program: str, **variables: str) -> subprocess.Popen[str]:
        environ = {
            "PATH": os.environ["PATH"],
            "SAGEMAKER_BASE_DIR": str(self.base),
            "BIND_HOST": "127.0.0.1",
            "OMP_NUM_THREADS": "1",  # many threads in a small fit wait for each other on a busy machine
            "SAGEMAKER_BIND_TO_PORT": str(PORT),
            **variables,
        }
        command = [sys.executable, str(self.tree / program)]
        return subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, program: str) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start(program)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        return process.returncode, output

    @contextmanager
    def serving(self, **variables: str) -> Iterator[subprocess.Popen[str]]:
        process = self.start("serve", **variables)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=30)

    @property
    def failure(self) -> str:
        return (self.base / "output" / "failure").read_text()

    def set_hyperparameters(self, **values: str) -> None:
        config = self.base / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(values))


def lay_out(folder: Path, model: str) -> Programs:
    """The programs as they lie in the image, and a training and a processing job's inputs."""
    tree, base = folder / "program", folder / "ml"
    shutil.copytree(
        ROOT / "model_src", tree / "model_src", ignore=shutil.ignore_patterns("models", "__pycache__")
    )
    shutil.copytree(MODELS / model, tree / "model")
    for program in ("train", "evaluate", "serve"):
        shutil.copy(ROOT / "container" / program, tree)
    put(MODELS / model / "train.csv", base / "input" / "data" / "train")
    put(MODELS / model / "holdout.csv", base / "processing" / "input" / "holdout")
    return Programs(tree, base)


def put(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copy(file, folder)


def hand_over_model(base: Path) -> None:
    """What SageMaker does between training and evaluation: packs the model folder and mounts the archive."""
    folder = base / "processing" / "input" / "model"
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(base / "model", arcname=".")


def ask(method: str, path: str, body: bytes = b"", *, port: int = PORT, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_for_ping(wanted: int = 200, *, saying: bytes = b"", port: int = PORT, limit_s: float = 30) -> float:
    """Seconds until /ping answers `wanted`, with `saying` in its body."""
    started = time.monotonic()
    while time.monotonic() - started < limit_s:
        try:
            status, body = ask("GET", "/ping", port=port)
            if status == wanted and saying in body:
                return time.monotonic() - started
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.01)
    raise AssertionError(f"/ping did not answer {wanted} within {limit_s} s")


def predict(instances: list[Any], *, port: int = PORT) -> list[dict[str, Any]]:
    body = json.dumps({"instances": instances}).encode()
    status, answer = ask("POST", "/invocations", body, port=port, content_type="application/json")
    assert status == 200, answer
    predictions: list[dict[str, Any]] = json.loads(answer)["predictions"]
    return predictions
