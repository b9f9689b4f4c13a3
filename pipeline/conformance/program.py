"""What a runtime is asked to run, and what can be asked of the program that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pipeline.conformance.client import Address

Command = Literal["serve", "train"]
PORT = 8080


@dataclass(frozen=True)
class Launch:
    """One start of an image. `tree` is what it sees as /opt/ml; it gets a copy.

    `offline`: without a way to the network. `read_only_model`: /opt/ml/model cannot be written to.
    """

    command: Command
    tree: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = PORT
    offline: bool = False
    read_only_model: bool = False


@dataclass(frozen=True)
class ImageFacts:
    """What an image says of itself."""

    os: str
    architecture: str
    size_bytes: int
    entrypoint: tuple[str, ...]
    user: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    history: tuple[str, ...]


class StartError(Exception):
    """The image has no such program, or it cannot be executed."""


class Program(Protocol):
    """A started program."""

    @property
    def address(self) -> Address:
        """Where it is to be reached; NOWHERE if it has ended."""

    def wait(self, timeout_s: float) -> int | None:
        """The exit code (128 and the signal's number for one that was killed), None while it runs."""

    def terminate(self) -> None:
        """SIGTERM to the first process, as `docker stop` sends it."""

    def output(self, *, max_bytes: int) -> str:
        """What it wrote to stdout and stderr, of much the last bytes."""

    def listeners(self) -> tuple[str, ...]:
        """`host:port` it listens on, as far as can be told."""

    def files(self, folder: str) -> dict[str, str]:
        """sha256 of every file in this folder of its /opt/ml, by relative path."""

    def read(self, file: str, *, max_bytes: int) -> bytes | None:
        """The first bytes of a file in its /opt/ml, None where there is none."""

    def remove(self) -> None:
        """Ends it, if need be, and removes what it left."""


class Runtime(Protocol):
    """Starts programs of one image."""

    @property
    def name(self) -> Literal["container", "process"]:
        """What a result is headed with."""

    @property
    def facts(self) -> ImageFacts | None:
        """None where there is no image, only programs."""

    def start(self, launch: Launch) -> Program:
        """The started program. Raises: StartError."""

    def close(self) -> None:
        """Removes what is left of all starts."""
