"""A real MLflow tracking server for the tests, on a port of the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from ports import free_port

START_LIMIT_S = 300


@contextmanager
def serve_mlflow(folder: Path) -> Iterator[str]:
    """The server's address; its database and its artifacts are in the folder, which ends with it."""
    log = folder / "mlflow.log"
    address = f"http://127.0.0.1:{free_port()}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            _command(folder, port=address.rpartition(":")[2]), env=_variables(), stdout=output, stderr=output
        )
    try:
        _wait(server, address, log)
        yield address
    finally:
        server.terminate()
        server.wait()


def _command(folder: Path, *, port: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", port, "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]


def _variables() -> dict[str, str]:
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return {**os.environ, **quiet}


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
