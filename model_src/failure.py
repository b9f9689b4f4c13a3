"""How a job's program ends badly: its reason where SageMaker looks for it, and the exit code users expect."""

from __future__ import annotations

import os
import signal
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
    """Waits for SIGTERM in a thread: a Python handler would only run after a fit that spends minutes in C."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        _fail("Stopped: SIGTERM arrived before the job was done.", reason_file)
        os._exit(STOPPED)

    threading.Thread(target=wait, daemon=True, name="sigterm").start()


def _fail(reason: str, reason_file: Path) -> int:
    sys.stderr.write(reason + "\n")
    sys.stderr.flush()
    reason_file.parent.mkdir(parents=True, exist_ok=True)
    reason_file.write_text(reason[:MAX_REASON_CHARACTERS])
    return 1
