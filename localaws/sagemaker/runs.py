"""What training, processing and transform jobs share: threads, stopping, time limits, status."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ministack.core.responses import request_scope

from localaws.errors import ValidationError
from localaws.runtime.workload import Running
from localaws.sagemaker.kinds import Kind
from localaws.schema import Members
from localaws.store import Scope

logger = logging.getLogger(__name__)

# AWS gives a training program 120 s between SIGTERM and SIGKILL.
STOP_GRACE_S = 120.0
SHUTDOWN_GRACE_S = 5.0

EndedBy = Literal["itself", "stop", "time limit", "interruption"]


@dataclass(frozen=True)
class Ending:
    """How a program ended."""

    exit_code: int
    by: EndedBy


def require_in_progress(kind: Kind, job: Members) -> None:
    """Raises: ValidationError when the job cannot be stopped any more."""
    status = job[kind.status_key]
    if status != "InProgress":
        raise ValidationError(
            f"The request was rejected because the {kind.segment.replace('-', ' ')} is in status {status}."
        )


class Run:
    """A job that is under way, and the way to stop it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stopping_event = threading.Event()
        self._running: Running | None = None
        self._interrupted = False
        self.grace_s = STOP_GRACE_S

    @property
    def stopping(self) -> bool:
        return self.stopping_event.is_set()

    def stop(self) -> None:
        """Asks the program to end, now or as soon as it has started."""
        with self._lock:
            self.stopping_event.set()
            running = self._running
        if running is not None:
            running.stop(self.grace_s)

    def interrupt(self) -> None:
        """Takes the instance away from the program, if one runs on it; the job is to go on later."""
        with self._lock:
            running = self._running
            self._interrupted = running is not None
        if running is not None:
            running.stop(self.grace_s)

    def to_end(self, running: Running, *, limit_s: float | None) -> Ending:
        """Waits for the program's end, or brings it about at the time limit."""
        with self._lock:
            self._running, self._interrupted = running, False
            stopping = self.stopping
        if stopping:
            running.stop(self.grace_s)
        code = running.wait(limit_s)
        if code is None:
            running.stop(self.grace_s)
            return Ending(running.wait(None) or 0, "time limit")
        with self._lock:
            self._running = None
            by: EndedBy = "interruption" if self._interrupted else "itself"
        return Ending(code, "stop" if self.stopping else by)


class Runs:
    """Every job that is under way."""

    def __init__(self) -> None:
        self._runs: dict[tuple[Scope, str, str], tuple[Run, threading.Thread]] = {}
        self._lock = threading.Lock()

    def start(self, kind: Kind, scope: Scope, name: str, work: Callable[[Run], None]) -> None:
        """Runs `work` in a thread of its own, in the account and region of its job."""
        run = Run()
        key = (scope, kind.name, name)

        def target() -> None:
            try:
                with request_scope(scope.account_id, scope.region):
                    work(run)
            except Exception:
                logger.exception("%s %s broke the local AWS", kind.name, name)
                raise
            finally:
                with self._lock:
                    self._runs.pop(key, None)

        thread = threading.Thread(target=target, name=f"{kind.segment}/{name}", daemon=True)
        with self._lock:
            self._runs[key] = (run, thread)
        thread.start()

    def stop(self, kind: Kind, scope: Scope, name: str) -> None:
        """Stops a job, unless it ended by itself meanwhile."""
        with self._lock:
            found = self._runs.get((scope, kind.name, name))
        if found is not None:
            threading.Thread(target=found[0].stop, daemon=True).start()

    def shut_down(self) -> None:
        """Ends every job and waits for their threads."""
        with self._lock:
            runs = list(self._runs.values())
        stoppers = []
        for run, _ in runs:
            run.grace_s = SHUTDOWN_GRACE_S
            stoppers.append(threading.Thread(target=run.stop, daemon=True))
            stoppers[-1].start()
        deadline = time.monotonic() + 3 * SHUTDOWN_GRACE_S
        for thread in [*stoppers, *(thread for _, thread in runs)]:
            thread.join(max(0.0, deadline - time.monotonic()))
