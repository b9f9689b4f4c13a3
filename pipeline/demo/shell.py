"""Runs `mlops` commands as a person would: as children, each under the AWS profile of whoever gives it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, RunError

Report = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """Arguments of `mlops`, the AWS profile it runs under, and the exit codes that mean it did as it says.

    No profile is the one of the local AWS's own lines, an administrator; before those are known, none.
    """

    arguments: tuple[str, ...]
    profile: str | None = None
    good: tuple[int, ...] = (0,)

    def __str__(self) -> str:
        profile = f"AWS_PROFILE={self.profile} " if self.profile else ""
        return f"{profile}mlops {' '.join(self.arguments)}"


@dataclass
class Shell:
    """The environment of the children; it learns where the local AWS is once that runs."""

    checkout: Path
    environ: dict[str, str]
    report: Report
    _running: set[subprocess.Popen[str]] = field(default_factory=set)

    def point_at(self, aws_env: Path) -> None:
        """Takes over the lines that `mlops local up` wrote."""
        self.environ |= read_env_file(aws_env)

    def mlops(
        self, *arguments: str, profile: str | None = None, good: tuple[int, ...] = (0,)
    ) -> dict[str, Any]:
        """The JSON object that the command prints. Raises: RunError with the command's own message."""
        return self.run(Command(arguments, profile, good))

    def run_together(self, commands: Sequence[Command]) -> list[dict[str, Any]]:
        """The same for commands side by side, in their order."""
        with ThreadPoolExecutor(max_workers=len(commands)) as pool:
            try:
                return list(pool.map(self.run, commands))
            except BaseException:
                # Leaving the pool waits for the others; nobody waits for their result any more.
                self._stop()
                raise

    def run(self, command: Command) -> dict[str, Any]:
        self.report(f"$ {command}")
        process = self._start(command)
        errors: list[str] = []
        reader = threading.Thread(target=self._relay, args=(process, errors), daemon=True)
        reader.start()
        try:
            out = process.stdout.read() if process.stdout else ""
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        reader.join()
        self._running.discard(process)
        if process.returncode not in command.good:
            raise CommandError(command, process.returncode, "\n".join(errors))
        result: dict[str, Any] = json.loads(out)
        return result

    def _stop(self) -> None:
        """Interrupts what still runs, so that Terraform gives back its locks."""
        for process in list(self._running):
            process.terminate()

    def _start(self, command: Command) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *command.arguments, "--json"],
            cwd=self.checkout,
            env=self.environ | ({"AWS_PROFILE": command.profile} if command.profile else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C is passed on once, by us; a second would cut off a child that is ending its Terraform.
            process_group=0,
        )
        self._running.add(process)
        return process

    def _relay(self, process: subprocess.Popen[str], errors: list[str]) -> None:
        """Passes progress on and keeps what may be the error: a traceback is worth its lines."""
        for line in process.stderr or ():
            if not line.startswith('{"error"'):
                self.report(f"  {line.rstrip()}")
            errors.append(line.rstrip())
            del errors[:-30]


class CommandError(RunError):
    """A command of the demo did not do what it says."""

    def __init__(self, command: Command, code: int, errors: str) -> None:
        super().__init__(f"`mlops {' '.join(command.arguments)}` ended with {code}: {_read_message(errors)}")


def _read_message(errors: str) -> str:
    """The message of our own error, or the last line of whatever else was said."""
    last = errors.splitlines()[-1] if errors else "it said nothing"
    try:
        return str(json.loads(last)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return last


def read_env_file(file: Path) -> dict[str, str]:
    """KEY=VALUE lines."""
    if not file.is_file():
        raise PipelineError(f"{file} is missing: no local AWS was started from here.")
    pairs = (line.partition("=") for line in file.read_text().splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def children_environment(environ: Mapping[str, str], *, commit: str, build: Path) -> dict[str, str]:
    """The caller's environment without its AWS: whatever the demo does, it does to the local one.

    The commit is told, not asked for anew, so that an edit during the demo does not change what is delivered.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    # Without credentials, as before the local AWS runs, the SDK would look for a machine role on the network.
    kept["AWS_EC2_METADATA_DISABLED"] = "true"
    return kept | {"MLOPS_COMMIT": commit, "MLOPS_BUILD_DIR": str(build)}
