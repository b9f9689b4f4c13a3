"""The servers that are measured side by side with one forest: ours, and those people would pick instead.

A server is a few programs and, for each case it takes part in, a request. Each has its own environment below
build/bench/peers, made from a lock file with hashes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from deployment import ROOT

PEERS = ROOT / "build/bench/peers"
_SOURCES = ROOT / "benchmarks/peers"
_START_LIMIT_S = 120
CLASSES = ("setosa", "versicolor", "virginica")  # the ONNX model tells their numbers


@dataclass(frozen=True)
class Model:
    """One trained forest: the folder SageMaker would mount, its ONNX file, and the data it was trained on."""

    folder: Path
    onnx: Path
    training_data: Path


@dataclass(frozen=True)
class Request:
    """What is posted, and how to read the first row's label from the answer."""

    path: str
    content_type: str
    body: bytes
    label: Callable[[bytes], str]


@dataclass(frozen=True)
class Program:
    """One process of a server."""

    command: Sequence[str]
    environ: Mapping[str, str]


@dataclass(frozen=True)
class Server:
    """`cases` are what it is asked; one that is not there is not offered."""

    name: str
    programs: Sequence[Program]
    ready: str
    cases: Mapping[str, Request]


@dataclass(frozen=True)
class Rows:
    """The rows of one case, each a list of the forest's features."""

    case: str
    rows: Sequence[Sequence[float]]
    csv_only: bool = False

    @property
    def csv(self) -> bytes:
        return "".join(",".join(map(str, row)) + "\n" for row in self.rows).encode()

    def json(self, name: str) -> bytes:
        return json.dumps({name: list(self.rows)}, separators=(",", ":")).encode()


def python_of(peer: str) -> str:
    """The interpreter of a peer's environment, which is made anew when its lock has changed."""
    lock, folder = ROOT / f"requirements/peers/{peer}.txt", PEERS / peer
    stamp = folder / "lock.txt"
    python = str(folder / "bin/python")
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        print(f"installing {peer} into {folder.relative_to(ROOT)} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*command, "--requirement", str(lock)], check=True)
        shutil.copy(lock, stamp)
    return python


def build_servers(
    model: Model, cases: Sequence[Rows], *, port: int, workers: int, only: Sequence[str] = ()
) -> list[Server]:
    """Every server, or ours and those whose name begins as one of `only`, each on ports of its own."""
    makers: dict[str, Callable[[Model, Sequence[Rows], int, int], Server]] = {
        "ours": our_server,
        "empty handler": _empty,
        "empty handler that reads": _reading,
        "Flask": _flask,
        "MLflow": _mlflow,
        "BentoML": _bentoml,
        "MLServer": _mlserver,
    }
    return [
        make(model, cases, port + 10 * number, workers)
        for number, (name, make) in enumerate(makers.items())
        if not only or name.startswith(("ours", *only))
    ]


def our_server(model: Model, cases: Sequence[Rows], port: int, workers: int, *, name: str = "ours") -> Server:
    def label(body: bytes) -> str:
        return str(json.loads(body)["predictions"][0]["label"])

    environ = {
        "SM_MODEL_DIR": str(model.folder),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
        "BIND_HOST": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
    }
    return Server(
        name,
        [Program([sys.executable, str(ROOT / "container/serve")], environ)],
        f"http://127.0.0.1:{port}/ping",
        _json_requests(cases, port, label) | _csv_requests(cases, port),
    )


def _empty(_: Model, cases: Sequence[Rows], port: int, workers: int) -> Server:
    return _nothing("empty handler", cases, [str(port), str(workers)])


def _reading(_: Model, cases: Sequence[Rows], port: int, workers: int) -> Server:
    return _nothing("empty handler that reads", cases, [str(port), str(workers), "read"])


def _nothing(name: str, cases: Sequence[Rows], arguments: Sequence[str]) -> Server:
    def label(_: bytes) -> str:
        return ""

    port = int(arguments[0])
    return Server(
        name,
        [Program([sys.executable, str(_SOURCES / "empty.py"), *arguments], {})],
        f"http://127.0.0.1:{port}/ping",
        _json_requests(cases, port, label),
    )


def _flask(model: Model, cases: Sequence[Rows], port: int, workers: int) -> Server:
    def label(body: bytes) -> str:
        return str(json.loads(body)["predictions"][0]["label"])

    python, folder = python_of("flask"), PEERS / "flask-run"
    folder.mkdir(exist_ok=True)
    configuration = (_SOURCES / "nginx.conf").read_text().format(folder=folder, port=port)
    (folder / "nginx.conf").write_text(configuration)
    gunicorn = [python, "-m", "gunicorn", "--timeout", "60", "-k", "gevent", "--workers", str(workers)]
    gunicorn += ["--bind", f"unix:{folder}/gunicorn.sock", "--chdir", str(_SOURCES), "flask_app:app"]
    return Server(
        "Flask + gunicorn + nginx, scikit-learn",
        [
            Program(gunicorn, {"TRAINING_DATA": str(model.training_data)}),
            Program(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], {}),
        ],
        f"http://127.0.0.1:{port}/ping",
        _json_requests(cases, port, label) | _csv_requests(cases, port),
    )


def _mlflow(model: Model, cases: Sequence[Rows], port: int, workers: int) -> Server:
    python, saved = python_of("mlflow"), PEERS / "mlflow-model"
    shutil.rmtree(saved, ignore_errors=True)
    subprocess.run([python, str(_SOURCES / "save_mlflow.py"), str(model.onnx), str(saved)], check=True)
    command = [str(Path(python).parent / "mlflow"), "models", "serve", "--model-uri", str(saved)]
    command += [
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        str(workers),
    ]
    environ = {"PATH": f"{Path(python).parent}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true"}

    def label(body: bytes) -> str:
        return CLASSES[json.loads(body)["predictions"]["label"][0]]

    return Server(
        "MLflow models serve, ONNX",
        [Program(command, environ)],
        f"http://127.0.0.1:{port}/ping",
        _json_requests(cases, port, label, name="inputs"),  # CSV columns are not one tensor to it
    )


def _bentoml(model: Model, cases: Sequence[Rows], port: int, workers: int) -> Server:
    python = python_of("bentoml")
    command = [str(Path(python).parent / "bentoml"), "serve", "bento_service:Forest"]
    command += ["--working-dir", str(_SOURCES), "--host", "127.0.0.1", "--port", str(port)]
    environ = {"ONNX_MODEL": str(model.onnx), "WORKERS": str(workers), "BENTOML_DO_NOT_TRACK": "true"}
    return Server(
        "BentoML, ONNX Runtime",
        [Program(command, environ)],
        f"http://127.0.0.1:{port}/readyz",
        _json_requests(cases, port, _label_of_probabilities),
    )


def _label_of_probabilities(body: bytes) -> str:
    return _most_likely(json.loads(body)["predictions"][0])


def _most_likely(probabilities: Sequence[float]) -> str:
    return CLASSES[max(range(len(CLASSES)), key=lambda index: probabilities[index])]


def _mlserver(model: Model, cases: Sequence[Rows], port: int, workers: int) -> Server:
    python, folder = python_of("mlserver"), PEERS / "mlserver-run"
    folder.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": workers,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    runtime = {
        "name": "forest",
        "implementation": "mlserver_runtime.Forest",
        "parameters": {"uri": str(model.onnx)},
    }
    (folder / "model-settings.json").write_text(json.dumps(runtime))

    def request(rows: Rows) -> Request:
        flat = [value for row in rows.rows for value in row]
        tensor = {"name": "features", "shape": [len(rows.rows), 4], "datatype": "FP32", "data": flat}
        url = f"http://127.0.0.1:{port}/v2/models/forest/infer"
        return Request(url, "application/json", json.dumps({"inputs": [tensor]}).encode(), label)

    def label(body: bytes) -> str:
        return _most_likely(json.loads(body)["outputs"][0]["data"][:3])

    return Server(
        "MLServer, ONNX Runtime",
        [
            Program(
                [str(Path(python).parent / "mlserver"), "start", str(folder)], {"PYTHONPATH": str(_SOURCES)}
            )
        ],
        f"http://127.0.0.1:{port}/v2/models/forest/ready",
        {f"json {rows.case}": request(rows) for rows in cases if not rows.csv_only},
    )


def _json_requests(
    cases: Sequence[Rows], port: int, label: Callable[[bytes], str], *, name: str = "instances"
) -> dict[str, Request]:
    return {
        f"json {rows.case}": Request(_url(port), "application/json", rows.json(name), label)
        for rows in cases
        if not rows.csv_only
    }


def _csv_requests(cases: Sequence[Rows], port: int) -> dict[str, Request]:
    def label(body: bytes) -> str:
        return body.decode().splitlines()[0].split(",")[0]

    return {f"csv {rows.case}": Request(_url(port), "text/csv", rows.csv, label) for rows in cases}


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/invocations"


@dataclass(frozen=True)
class Running:
    """A server that answers; `start_s` is what it took to."""

    pids: Sequence[int]
    start_s: float


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """The server, from its first 200 until it is ended with all that it started."""
    log = PEERS / f"{server.name.split()[0].lower()}.log"
    with log.open("wb") as output:
        started = time.monotonic()
        processes = [
            subprocess.Popen(
                program.command,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **program.environ},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for program in server.programs
        ]
        try:
            _wait_until_ready(server, processes, log)
            yield Running([process.pid for process in processes], time.monotonic() - started)
        finally:
            for process in processes:
                _end(process)


def _wait_until_ready(server: Server, processes: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            break
        try:
            if requests.get(server.ready, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.005)
    raise SystemExit(f"{server.name} does not answer {server.ready}; it said:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for the whole process group 20 s later."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def first_label(request: Request) -> str:
    """What the server says of the first row."""
    answer = requests.post(
        request.path, request.body, headers={"content-type": request.content_type}, timeout=60
    )
    answer.raise_for_status()
    return request.label(answer.content)
