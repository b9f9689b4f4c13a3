"""Starting, stopping and describing the server process from outside."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.certificates import write_certificates
from localaws.engine import (
    CALL_TIMEOUT_S,
    Engine,
    connect,
    find_engine,
    label_of,
    remove_images,
    remove_labelled,
)
from localaws.errors import LocalAwsError, SetupError
from localaws.profiles import PEOPLE, PROFILES, Keys, create_person, write_profiles
from localaws.settings import HOST, REGION, STATE_DIR_VARIABLE, Settings

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 60.0
ORDER_TIMEOUT_S = 10.0
# What a job or a Lambda started by the server may see of the caller's environment.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "DOCKER_HOST", "DOCKER_CONFIG", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Status:
    """A running server as `status.json` shows it."""

    endpoint: str
    pid: int
    runtime: str
    engine: str | None
    profiles: list[str]
    region: str
    state: str = "in memory; it ends with the server"


def start(settings: Settings) -> Status:
    """Starts the server, waits until it answers, and writes the files that clients use.

    Raises: SetupError when the port is taken, the server runs already, its directory cannot be used, or a
    demanded engine is missing.
    """
    with _claim_directory(settings.state_dir):
        return _start(settings)


def _start(settings: Settings) -> Status:
    _refuse_second_start(settings)
    runtime, engine = _resolve_runtime(settings)
    remove_left_overs(settings)
    _refuse_taken_port(settings.port)
    write_certificates(settings)
    settings.decisions_file.unlink(missing_ok=True)
    root = Keys("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
    process = _spawn(settings, root)
    try:
        _wait_until_healthy(settings, process)
        write_profiles(settings, _create_people(settings, root))
    except BaseException:
        process.kill()
        process.wait()
        raise
    status = Status(settings.endpoint, process.pid, runtime, engine, list(PROFILES), REGION)
    settings.pid_file.write_text(f"{process.pid}\n")
    settings.status_file.write_text(json.dumps(vars(status), indent=2) + "\n")
    return status


def stop(settings: Settings) -> bool:
    """Stops the server and what it started; False when none ran. State is lost."""
    pid = running_pid(settings)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        _wait_until_gone(pid)
    for file in (settings.pid_file, settings.status_file, settings.env_file, settings.credentials_file):
        file.unlink(missing_ok=True)
    remove_left_overs(settings)
    return pid is not None


def interrupt(settings: Settings, training_job: str, *, timeout_s: float = ORDER_TIMEOUT_S) -> None:
    """Has the Spot instance of a training job taken back: SIGTERM, and two minutes to end.

    Raises: LocalAwsError when no Spot training job of that name is at work.
    """
    order = settings.interruptions_dir / Path(training_job).name
    if running_pid(settings) is None:
        raise LocalAwsError(f"No local AWS of {settings.state_dir} is running.")
    order.parent.mkdir(parents=True, exist_ok=True)
    order.touch()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not order.exists():
            return
        time.sleep(0.05)
    order.unlink(missing_ok=True)
    raise LocalAwsError(
        f"No training job '{training_job}' is in training on a Spot instance (EnableManagedSpotTraining)."
    )


def remove_left_overs(settings: Settings) -> None:
    """Ends what a killed server of this state directory left, and removes its scratch files."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while (left := marked_processes(settings)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    engine = find_engine() if settings.runtime != "process" else None
    if isinstance(engine, Engine):
        client = connect(engine.host, timeout_s=CALL_TIMEOUT_S)
        remove_labelled(client, label_of(settings.state_dir))
        if settings.pulled_file.exists():
            remove_images(client, settings.pulled_file.read_text().split())
    shutil.rmtree(settings.work_dir, ignore_errors=True)


def marked_processes(settings: Settings) -> list[int]:
    """The processes that carry this state directory's mark in their environment."""
    mark = f"{STATE_DIR_VARIABLE}={settings.state_dir}".encode()
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environment = (directory / "environ").read_bytes()
        except OSError:
            # It ended meanwhile, or belongs to somebody else: not one of ours.
            continue
        if mark in environment.split(b"\0"):
            found.append(int(directory.name))
    return found


def read_status(settings: Settings) -> Status | None:
    """The running server's status, or None."""
    if running_pid(settings) is None or not settings.status_file.exists():
        return None
    return Status(**json.loads(settings.status_file.read_text()))


def running_pid(settings: Settings) -> int | None:
    """The server's process id; None when the pid file is missing or names another program's process."""
    try:
        pid = int(settings.pid_file.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return pid if _is_server(pid, settings) else None


def _is_server(pid: int, settings: Settings) -> bool:
    line = _process_line(pid, "stat=,args=")
    return "localaws serve" in line and str(settings.state_dir) in line and not line.startswith("Z")


def _process_line(pid: int, columns: str) -> str:
    """What `ps` says of a process, uncut whatever COLUMNS is; nothing where there is none."""
    command = ["ps", "-ww", "-o", columns, "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def _claim_directory(state_dir: Path) -> Iterator[None]:
    """Makes the directory and keeps other starts out of it. Raises: SetupError where that cannot be."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        directory = os.open(state_dir, os.O_RDONLY)
    except OSError as error:
        raise SetupError(
            f"The state directory {state_dir} cannot be used: {error.strerror}. "
            "Choose another with --state-dir."
        ) from error
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(f"The local AWS of {state_dir} is being started by another process.") from error
        yield
    finally:
        os.close(directory)


def _refuse_second_start(settings: Settings) -> None:
    pid = running_pid(settings)
    if pid is not None:
        raise SetupError(
            f"The local AWS of {settings.state_dir} runs already (process {pid}). "
            "Stop it with `down`, or use another --state-dir and --port."
        )


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SetupError(
                f"Port {port} on {HOST} cannot be used: {error.strerror}. "
                "Stop what listens there, or choose another with --port."
            ) from error


def _resolve_runtime(settings: Settings) -> tuple[str, str | None]:
    if settings.runtime == "process":
        return "process", None
    engine = find_engine()
    if isinstance(engine, Engine):
        return "container", engine.name
    if settings.runtime == "container":
        raise SetupError(
            f"--runtime container needs a container engine such as Docker, and none answers "
            f"({engine.reason}). "
            "Start one, or use --runtime process."
        )
    return "process", None


def _spawn(settings: Settings, root: Keys) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment["AWS_ACCESS_KEY_ID"] = root.access_key_id
    environment["AWS_SECRET_ACCESS_KEY"] = root.secret_access_key
    environment["PYTHONUNBUFFERED"] = "1"
    # One heap for each of some 64 threads would hold on to memory that is free.
    environment["MALLOC_ARENA_MAX"] = "2"
    environment[STATE_DIR_VARIABLE] = str(settings.state_dir)
    arguments = [
        "--port",
        str(settings.port),
        "--state-dir",
        str(settings.state_dir),
        "--runtime",
        settings.runtime,
        "--decisions",
        settings.decisions,
    ]
    with settings.log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "localaws", "serve", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_healthy(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    context = ssl.create_default_context(cafile=str(settings.ca_file))
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalAwsError(
                f"The local AWS ended at once with exit code {process.returncode}: {_log_tail(settings)}"
            )
        try:
            with urllib.request.urlopen(  # noqa: S310 (always https to this machine)
                f"{settings.endpoint}/_ministack/health", context=context, timeout=2
            ):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise LocalAwsError(
        f"The local AWS did not answer within {START_TIMEOUT_S:.0f} s; see {settings.log_file}."
    )


def _log_tail(settings: Settings) -> str:
    return " | ".join(settings.log_file.read_text(errors="replace").splitlines()[-3:])


def _create_people(settings: Settings, root: Keys) -> dict[str, Keys]:
    import boto3

    arguments: dict[str, Any] = {
        "endpoint_url": settings.endpoint,
        "verify": str(settings.ca_file),
        "region_name": REGION,
        "aws_access_key_id": root.access_key_id,
        "aws_secret_access_key": root.secret_access_key,
    }
    iam = boto3.client("iam", **arguments)
    return {"admin": root, **{person.name: create_person(iam, person) for person in PEOPLE}}


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        state = _process_line(pid, "stat=")
        if not state or state.startswith("Z"):
            return
        time.sleep(0.05)
    raise LocalAwsError(f"The local AWS (process {pid}) did not end within {STOP_TIMEOUT_S:.0f} s.")
