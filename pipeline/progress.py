"""Terraform's progress as a few plain lines: the same on a terminal, in a CI log, and inside the demo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.terraform import Event


@dataclass
class TerraformProgress:
    """Reports a count at most every `every_s`, with the operation that has been running longest."""

    label: str
    report: Callable[[str], None]
    every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _done: int = 0
    _running: dict[str, float] = field(default_factory=dict)
    _spoke_at: float | None = None

    def __call__(self, event: Event) -> None:
        if event.kind == "apply_start":
            self._running[event.address] = self.clock()
        if event.kind in {"apply_complete", "apply_errored"}:
            self._done += 1
            self._running.pop(event.address, None)
        if event.kind in {"change_summary", "apply_errored"}:
            self.report(f"{self.label}: {event.message}")
        elif event.kind.startswith("apply_") and self._is_time():
            self.report(f"{self.label}: {self._done} resources done{self._describe_longest()}")

    def _is_time(self) -> bool:
        """Once in `every_s`, the first time that long after the first event."""
        if self._spoke_at is None:
            self._spoke_at = self.clock()
        if self.clock() - self._spoke_at < self.every_s:
            return False
        self._spoke_at = self.clock()
        return True

    def _describe_longest(self) -> str:
        if not self._running:
            return ""
        address, began = min(self._running.items(), key=lambda item: item[1])
        return f", waiting for {address} ({self.clock() - began:.0f} s)"
