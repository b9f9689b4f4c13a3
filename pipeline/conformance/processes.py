"""A program folder as the image: `train` and `serve` as plain processes, as the local AWS runs them.

SAGEMAKER_BASE_DIR stands for /opt/ml, SAGEMAKER_BIND_TO_PORT for 8080, and BIND_HOST is an address of this
machine only. What only a container has (a first process that ignores signals, a mount, an image) is not seen.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import randint
from typing import Literal

from pipeline.conformance.client import Address, NoAnswerError, connect
from pipeline.conformance.program import Launch, StartError
from pipeline.conformance.tree import hash_files
from pipeline.errors import UsageError

_LOCALHOST = "127.0.0.1"
# Every start has a folder of its own: who has this variable with it was started by it.
_MARK = "SAGEMAKER_BASE_DIR"
_GONE_S = 10
_OFFLINE = Path(__file__).with_name("offline")


class ProcessRuntime:
    """Runs the programs of one folder."""

    name: Literal["process"] = "process"
    facts = None

    def __init__(self, folder: Path):
        self._folder = find_programs(folder)
        self._work = Path(tempfile.mkdtemp(prefix="check-image-"))
        self._started: list[ProcessProgram] = []

    def start(self, launch: Launch) -> ProcessProgram:
        program = self._folder / launch.command
        if not program.is_file():
            raise StartError(f"There is no program {launch.command} in {self._folder}.")
        home = self._work / str(len(self._started) + 1)
        tree = home / "ml"
        shutil.copytree(launch.tree, tree)
        address = _free_address()
        log = home / "log"
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    _command(program),
                    env=self._environment(launch, tree, address),
                    cwd=home,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f"{program} cannot be run: {error.strerror}.") from error
        self._started.append(ProcessProgram(process, address, tree, log))
        return self._started[-1]

    def close(self) -> None:
        for program in self._started:
            program.remove()
        shutil.rmtree(self._work)

    def _environment(self, launch: Launch, tree: Path, address: Address) -> dict[str, str]:
        searched = [str(_OFFLINE)] if launch.offline else []
        return {
            "LANG": "C.UTF-8",
            **launch.environment,
            "PATH": os.pathsep.join([str(self._folder), str(Path(sys.executable).parent), os.defpath]),
            "PYTHONPATH": os.pathsep.join([*searched, str(self._folder)]),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(tree.parent),
            "TMPDIR": str(tree.parent),
            _MARK: str(tree),
            "SAGEMAKER_BIND_TO_PORT": str(address.port),
            "BIND_HOST": address.host,
        }


class ProcessProgram:
    """A running program and all it starts: they end when it ends, as those of a container do."""

    def __init__(self, process: subprocess.Popen[bytes], address: Address, tree: Path, log: Path):
        self._process = process
        self._tree = tree
        self._log = log
        self._ended = False
        self.address = address

    def wait(self, timeout_s: float) -> int | None:
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._kill_all()
        return 128 - code if code < 0 else code

    def terminate(self) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)

    def output(self, *, max_bytes: int) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - max_bytes))
            return log.read(max_bytes).decode(errors="replace")

    def listeners(self) -> tuple[str, ...]:
        try:
            connect(Address(_LOCALHOST, self.address.port), timeout_s=1)[0].close()
        except NoAnswerError:
            return ()
        return (f"{_LOCALHOST}:{self.address.port}",)

    def files(self, folder: str) -> dict[str, str]:
        return hash_files(self._tree / folder)

    def read(self, file: str, *, max_bytes: int) -> bytes | None:
        path = self._tree / file
        if not path.is_file():
            return None
        with path.open("rb") as content:
            return content.read(max_bytes)

    def remove(self) -> None:
        self._kill_all()
        self._process.wait()

    def _kill_all(self) -> None:
        """Its group, once (the number may be somebody else's later), and who left the group."""
        if self._ended:
            return
        self._ended = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if sys.platform == "linux":
            while _kill_marked(f"{_MARK}={self._tree}".encode()):
                pass


def _kill_marked(variable: bytes) -> int:
    """How many processes of this user had the variable in their environment; they are gone."""
    killed = 0
    for folder in Path("/proc").glob("[0-9]*"):
        # The handle is taken first: what is read and killed is the same process.
        with suppress(OSError), _open_process(int(folder.name)) as handle:
            if variable in (folder / "environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], _GONE_S)
                killed += 1
    return killed


@contextmanager
def _open_process(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def find_programs(folder: Path) -> Path:
    """Where `serve` and `train` are: in the folder, or where an image has them below it."""
    for place in (folder, folder / "opt/program"):
        if any((place / name).is_file() for name in ("serve", "train")):
            return place.resolve()
    raise UsageError(f"{folder} is no program folder: it has neither `serve` nor `train`.")


def _command(program: Path) -> list[str]:
    """Executables are executed; what is none is taken for Python, as the local AWS does.

    Raises: StartError for a script of another interpreter that may not be executed.
    """
    if os.access(program, os.X_OK):
        return [str(program)]
    with program.open("rb") as file:
        first_line = file.readline(200)
    if first_line.startswith(b"#!") and b"python" not in first_line:
        raise StartError(f"{program} is not executable. Make it so: chmod +x {program}")
    return [sys.executable, str(program)]


def _free_address() -> Address:
    """An address of this machine only. On Linux all of 127/8 is: who listens on 127.0.0.1 alone is not found.

    Each start has one of its own, so that examinations at the same time do not meet.
    """
    own = f"127.{randint(1, 254)}.{randint(1, 254)}.{randint(2, 254)}"  # noqa: S311 - no secret
    host = own if sys.platform == "linux" else _LOCALHOST
    with socket.socket() as probe:
        probe.bind((host, 0))
        return Address(host, int(probe.getsockname()[1]))
