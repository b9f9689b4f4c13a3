"""Programs of an image as plain processes: the server's own Python, nothing of its environment, no isolation.

For machines without a container engine, and for fast tests. Only images that say so (label
`org.mlops.runtime=process`) run like this.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from localaws.runtime.errors import ClientFaultError
from localaws.runtime.images import Images
from localaws.runtime.workload import ML_ROOT, Workload
from localaws.settings import HOST, STATE_DIR_VARIABLE

_PROGRAM_DIRS = ("opt/program", "usr/local/bin", "usr/bin", "bin")
_PYTHONS = ("python", "python3")


class ProcessRuntime:
    """Starts workloads as processes, each in a group of its own."""

    def __init__(self, images: Images, state_dir: Path):
        self._images = images
        self._state_dir = state_dir

    def start(self, workload: Workload, log: Callable[[str], None]) -> ProcessRunning:
        root = self._images.unpack(workload.image)
        port = _free_port() if workload.serves else 0
        home = workload.tree.with_name("home")
        home.mkdir(exist_ok=True)
        environment = _environment(workload, root, home)
        if workload.serves:
            environment["SAGEMAKER_BIND_TO_PORT"] = str(port)
        environment[STATE_DIR_VARIABLE] = str(self._state_dir)
        process = subprocess.Popen(
            _command(workload, root),
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return ProcessRunning(process, port, log)


class ProcessRunning:
    """A program that runs as a process."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Callable[[str], None]):
        self._process = process
        self._port = port
        self._reader = threading.Thread(target=_forward, args=(process, log), daemon=True)
        self._reader.start()

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    def wait(self, timeout_s: float | None) -> int | None:
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(timeout=5)
        # A container reports a signal as 128 plus its number.
        return 128 - code if code < 0 else code

    def stop(self, grace_s: float) -> None:
        self._signal(signal.SIGTERM)
        if self.wait(grace_s) is None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def collect(self) -> None:
        """Nothing to do: the program wrote into the tree itself."""

    def remove(self) -> None:
        # Children of the program may outlive it in its group.
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


def _forward(process: subprocess.Popen[str], log: Callable[[str], None]) -> None:
    for line in process.stdout or ():
        log(line.rstrip("\n"))


def _command(workload: Workload, root: Path) -> list[str]:
    words = [*workload.entrypoint, *workload.arguments]
    if not words:
        raise ClientFaultError(f"Image {workload.image.uri} was given no program to run.")
    arguments = [_in_tree(word, workload.tree) for word in words[1:]]
    if words[0] in _PYTHONS:
        return [sys.executable, *arguments]
    return [sys.executable, str(_program(words[0], root, workload.image.uri)), *arguments]


def _program(name: str, root: Path, uri: str) -> Path:
    candidates = (
        [root / name.lstrip("/")] if "/" in name else [root / place / name for place in _PROGRAM_DIRS]
    )
    for path in candidates:
        if path.is_file():
            return path
    raise ClientFaultError(
        f"CannotStartContainerError. Please ensure the container starts correctly when invoked with "
        f"'docker run {uri} {name}': it has no such program."
    )


def _in_tree(word: str, tree: Path) -> str:
    return f"{tree}{word.removeprefix(ML_ROOT)}" if word.startswith(f"{ML_ROOT}/") else word


def _environment(workload: Workload, root: Path, home: Path) -> dict[str, str]:
    program_dir = root / "opt/program"
    return {
        "LANG": "C.UTF-8",
        **workload.image.environment,
        **workload.environment,
        "PATH": os.pathsep.join([str(program_dir), str(Path(sys.executable).parent), os.defpath]),
        "PYTHONPATH": str(program_dir),
        "PYTHONUNBUFFERED": "1",
        "HOME": str(home),
        "TMPDIR": str(home),
        "SAGEMAKER_BASE_DIR": str(workload.tree),
        # There is no container around it: a server listens on this machine only.
        "BIND_HOST": HOST,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
