"""What was found of one part of the machine."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path


class SetupError(Exception):
    """What is missing and what to do about it, in one message."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One part of the machine: there or not, in words, and what to do when it is not."""

    part: str
    ok: bool
    detail: str
    next_step: str = ""
    required: bool = True
    value: str = ""

    def __str__(self) -> str:
        return self.detail if self.ok or not self.next_step else f"{self.detail} - {self.next_step}"


def say(part: str, text: object) -> None:
    """One line of progress, seen at once."""
    sys.stdout.write(f"  {part:11} {text}\n")
    sys.stdout.flush()


def last_lines(text: str, count: int = 14) -> str:
    """The end of a command's output without colours and frames, indented to stand inside a message."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[│╷╵]", "", text)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return "\n".join("    " + line for line in lines[-count:])


def printed_by(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What the command prints, or nothing when it cannot run or fails."""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def tools_folder(root: Path) -> Path:
    """`.tools`, where everything fetched for this checkout lies."""
    folder = root / ".tools"
    folder.mkdir(exist_ok=True)
    return folder
