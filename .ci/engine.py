"""Starts a Docker engine for a CI run when none answers, and stops that one at the end. Needs root.

    python3 .ci/engine.py start|stop

Standard library only. An engine that was there before is used and left alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from machine.engine import check_engine
from machine.finding import Finding, say

OWN_PID = Path("build/ci/dockerd.pid")
LOG = Path("build/ci/dockerd.log")
PID_FILES = (Path("/var/run/docker.pid"), Path("/var/run/docker/containerd/containerd.pid"))
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0


def is_running(pid: int, names: tuple[str, ...]) -> bool:
    """Whether the process is one of these programs; a zombie, which nothing reaps in a container, is not."""
    try:
        comm, state = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
    except OSError:
        return False
    return comm in names and state.split()[0] != "Z"


def remove_stale_pid_files() -> None:
    """dockerd refuses to start when its pid file names a living process, though it be another by now."""
    for path in PID_FILES:
        if path.exists() and not is_running(int(path.read_text()), ("dockerd", "containerd")):
            path.unlink()


def start() -> int:
    found = check_engine()
    if not found.ok:
        remove_stale_pid_files()
        LOG.parent.mkdir(parents=True, exist_ok=True)
        with LOG.open("wb") as log:
            # A session of its own: an interrupt of the tests does not end the engine they clean up with.
            engine = subprocess.Popen(
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        OWN_PID.write_text(str(engine.pid))
        found = wait_for_engine(engine)
    say("engine", found)
    if not found.ok:
        sys.stderr.write(LOG.read_text()[-3000:] if LOG.exists() else "")
        return 3
    return 0


def wait_for_engine(engine: subprocess.Popen[bytes]) -> Finding:
    deadline = time.monotonic() + START_LIMIT_S
    found = check_engine()
    while not found.ok and engine.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        found = check_engine()
    return found


def stop() -> int:
    """Ends the engine that `start` started, and no other."""
    if not OWN_PID.exists():
        return 0
    pid = int(OWN_PID.read_text())
    if is_running(pid, ("dockerd",)):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        while is_running(pid, ("dockerd",)) and time.monotonic() < deadline:
            time.sleep(0.1)
    OWN_PID.unlink()
    return 0


if __name__ == "__main__":
    sys.exit({"start": start, "stop": stop}[sys.argv[1]]())
