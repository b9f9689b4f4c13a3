"""How a job's program ends badly: its reason where SageMaker looks for it, and the exit code users expect."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from model_src.errors import ModelError, StoppedError

MAX_REASON_CHARACTERS: Final = 1024  # what SageMaker keeps of it
STOPPED: Final = 128 + signal.SIGTERM


class Interruption:
    """SIGTERM, as a Spot instance gets it that is taken back: it ends the program at once, unless the program
    has said that it will end by itself.
    """

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self.grace_s = 0.0

    @property
    def arrived(self) -> bool:
        return self._arrived.is_set()

    def postpone(self, grace_s: float) -> None:
        """From now on the program looks at `arrived` by itself, and has this long to end."""
        self.grace_s = grace_s

    def arrive(self, end: Callable[[], None]) -> None:
        """Tells the program, and calls `end` when its time is over."""
        self._arrived.set()
        time.sleep(self.grace_s)
        end()


def run_job(work: Callable[[Interruption], None], *, reason_file: Path) -> int:
    """The exit code of `work`: 0; or 1, or 143 after SIGTERM, the reason in `reason_file` and on stderr."""
    interruption = Interruption()
    _await_sigterm(interruption, reason_file)
    try:
        work(interruption)
    except StoppedError as error:
        _fail(f"Stopped: {error}", reason_file)
        return STOPPED
    except ModelError as error:
        return _fail(f"{type(error).__name__}: {error}", reason_file)
    except Exception as error:  # noqa: BLE001 - the job's last word: it goes to the file and, with its trace, to the log
        traceback.print_exc()
        return _fail(f"{type(error).__name__}: {error}", reason_file)
    return 0


def _await_sigterm(interruption: Interruption, reason_file: Path) -> None:
    """Answers SIGTERM from a thread: a Python handler would wait for a fit that spends minutes in C.

    A signal mask and `sigwait` would not do: numpy's threads are there already, and take the signal unmasked.
    """
    arrival, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

    def end() -> None:
        _fail("Stopped: SIGTERM arrived before the job was done.", reason_file)
        os._exit(STOPPED)

    def wait() -> None:
        with wakeup:  # kept from being closed
            while signal.SIGTERM not in arrival.recv(64):
                continue
            interruption.arrive(end)

    threading.Thread(target=wait, daemon=True, name="sigterm").start()


def _fail(reason: str, reason_file: Path) -> int:
    reason = reason.encode("utf-8", errors="backslashreplace").decode()  # half a surrogate is no text
    sys.stderr.write(reason + "\n")
    sys.stderr.flush()
    try:
        reason_file.parent.mkdir(parents=True, exist_ok=True)
        reason_file.write_text(reason[:MAX_REASON_CHARACTERS], encoding="utf-8")
    except OSError as error:  # a full disk, another user's folder: the job ends all the same
        sys.stderr.write(f"The reason cannot be written to {reason_file}: {error.strerror}.\n")
    return 1
