"""How a job's program ends badly: its reason where SageMaker looks for it, and the exit code users expect."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from model_src.errors import ModelError

MAX_REASON_CHARACTERS: Final = 1024  # what SageMaker keeps of it
STOPPED: Final = 128 + signal.SIGTERM


def run_job(work: Callable[[], None], *, reason_file: Path) -> int:
    """The exit code of `work`: 0, or 1 with the reason in `reason_file` and on stderr. SIGTERM ends it at
    once with 143.
    """
    _end_on_sigterm(reason_file)
    try:
        work()
    except ModelError as error:
        return _fail(f"{type(error).__name__}: {error}", reason_file)
    except Exception as error:  # noqa: BLE001 - the job's last word: it goes to the file and, with its trace, to the log
        traceback.print_exc()
        return _fail(f"{type(error).__name__}: {error}", reason_file)
    return 0


def _end_on_sigterm(reason_file: Path) -> None:
    """Answers SIGTERM from a thread: a Python handler would wait for a fit that spends minutes in C.

    A signal mask and `sigwait` would not do: numpy's threads are there already, and take the signal unmasked.
    """
    arrival, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        with wakeup:  # kept from being closed
            while signal.SIGTERM not in arrival.recv(64):
                continue
            _fail("Stopped: SIGTERM arrived before the job was done.", reason_file)
            os._exit(STOPPED)

    threading.Thread(target=wait, daemon=True, name="sigterm").start()


def _fail(reason: str, reason_file: Path) -> int:
    sys.stderr.write(reason + "\n")
    sys.stderr.flush()
    reason_file.parent.mkdir(parents=True, exist_ok=True)
    reason_file.write_text(reason[:MAX_REASON_CHARACTERS])
    return 1
