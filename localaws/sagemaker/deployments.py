"""A live endpoint, and the deployments that bring fleets up and take them down."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from localaws.runtime.errors import JobError
from localaws.sagemaker.capture import Capture
from localaws.sagemaker.fleets import Fleet
from localaws.sagemaker.metrics import alarms_in_alarm
from localaws.sagemaker.servers import INVOKE_TIMEOUT_S
from localaws.sagemaker.traffic import Rollout

WATCH_INTERVAL_S = 0.5
SHADOW_THREADS = 4
SHADOW_BACKLOG = 1000


class RolledBackError(JobError):
    """The update was taken back; the reason is the endpoint's FailureReason."""


class LiveEndpoint:
    """What answers an endpoint's requests: one fleet, or two while traffic moves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fleet: Fleet | None = None
        self._next: Fleet | None = None
        self._share = 0.0
        self.capture: Capture | None = None
        self.cancelled = threading.Event()
        self._shadow_pool: ThreadPoolExecutor | None = None
        self._shadow_slots = threading.BoundedSemaphore(SHADOW_BACKLOG)

    @property
    def fleet(self) -> Fleet | None:
        """The fleet that answers, or is about to be replaced."""
        return self._fleet

    @contextmanager
    def request(self) -> Iterator[Fleet | None]:
        """The fleet that takes a request, by the traffic's present share; it is not ended meanwhile."""
        with self._lock:
            moved = self._next is not None and random.random() < self._share  # noqa: S311 (traffic)
            fleet = self._next if moved else self._fleet
            if fleet is not None:
                fleet.enter()
        try:
            yield fleet
        finally:
            if fleet is not None:
                fleet.leave()

    def replace(self, fleet: Fleet, rollout: Rollout, *, region: str) -> None:
        """Moves the traffic to a healthy fleet, and ends the old one.

        Raises: RolledBackError when an alarm goes off or time runs out; the old fleet has the traffic then,
        and the new one is ended.
        """
        old = self._fleet
        with self._lock:
            self._next, self._share = fleet, 0.0
        deadline = time.monotonic() + rollout.timeout_s
        try:
            self._check_alarms(rollout, region)
            for shift in rollout.shifts:
                with self._lock:
                    self._share = shift.share
                self._watch(rollout, shift.wait_s, region=region, deadline=deadline)
            self._watch(rollout, rollout.termination_wait_s, region=region, deadline=deadline)
        except RolledBackError:
            with self._lock:
                self._next, self._share = None, 0.0
            _retire(fleet)
            raise
        with self._lock:
            self._fleet, self._next, self._share = fleet, None, 0.0
        if old is not None:
            _retire(old)

    def start(self, fleet: Fleet) -> None:
        """Gives a new endpoint its first fleet."""
        with self._lock:
            self._fleet = fleet

    def send_shadow(self, work: Callable[[], object]) -> None:
        """Runs a shadow request beside the traffic; it is dropped when too many wait."""
        if not self._shadow_slots.acquire(blocking=False):
            return
        with self._lock:
            if self._shadow_pool is None:
                self._shadow_pool = ThreadPoolExecutor(SHADOW_THREADS, thread_name_prefix="shadow")
        future = self._shadow_pool.submit(work)
        future.add_done_callback(lambda _: self._shadow_slots.release())

    def stop(self, *, grace_s: float) -> list[Fleet]:
        """Ends everything that runs for the endpoint; the fleets that did."""
        self.cancelled.set()
        with self._lock:
            fleets = [fleet for fleet in (self._fleet, self._next) if fleet is not None]
            self._fleet = self._next = None
        for fleet in fleets:
            fleet.stop(grace_s=grace_s)
        if self._shadow_pool is not None:
            self._shadow_pool.shutdown(wait=False, cancel_futures=True)
        if self.capture is not None:
            self.capture.close()
        return fleets

    def _watch(self, rollout: Rollout, wait_s: float, *, region: str, deadline: float) -> None:
        end = time.monotonic() + wait_s
        while (left_s := end - time.monotonic()) > 0:
            if time.monotonic() > deadline:
                raise RolledBackError("The deployment exceeded MaximumExecutionTimeoutInSeconds.")
            if self.cancelled.wait(min(left_s, WATCH_INTERVAL_S)):
                raise RolledBackError("The local AWS is shutting down.")
            self._check_alarms(rollout, region)
        self._check_alarms(rollout, region)

    def _check_alarms(self, rollout: Rollout, region: str) -> None:
        try:
            alarms = alarms_in_alarm(rollout.alarms, region)
        except LookupError as error:
            raise RolledBackError(f"Auto rollback configuration is not valid. {error}") from error
        if alarms:
            raise RolledBackError(
                f"One or more alarms specified for auto rollback are in the ALARM state: {', '.join(alarms)}"
            )


def _retire(fleet: Fleet) -> None:
    """Ends a fleet that gets no new requests, after its open ones."""
    fleet.drain(INVOKE_TIMEOUT_S)
    fleet.stop()
    fleet.leave_network()
