"""What a runtime is asked to run, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from localaws.runtime.images import Image

ML_ROOT = "/opt/ml"


@dataclass(frozen=True)
class Workload:
    """One program of an image. `tree` is the directory that it sees as /opt/ml (SAGEMAKER_BASE_DIR)."""

    name: str
    image: Image
    tree: Path
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    serves: bool = False


class Running(Protocol):
    """A started workload."""

    @property
    def address(self) -> str:
        """`host:port` of a workload that serves."""

    def wait(self, timeout_s: float | None) -> int | None:
        """The exit code, or None when it still runs after `timeout_s`."""

    def stop(self, grace_s: float) -> None:
        """Sends SIGTERM, and SIGKILL after the grace."""

    def collect(self) -> None:
        """Brings the results into the workload's tree."""

    def remove(self) -> None:
        """Ends it, if need be, and removes what it left."""


class Runtime(Protocol):
    """Starts workloads. Raises: ClientFaultError when the image cannot be run."""

    def start(self, workload: Workload, log: Callable[[str], None]) -> Running: ...
