"""The one adapter over Terraform: python-terraform composes each command line, this module runs it.

Source: docs/decisions/0001-python-terraform-composes-commands.md says which part does what, and why.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from python_terraform import IsFlagged
from python_terraform import Terraform as CommandComposer

from pipeline.errors import SetupError, StateLockedError, TerraformError
from pipeline.lock import find_told_lock
from pipeline.plans import Change

# Terraform ends its running requests and unlocks the state when interrupted; only then is it killed.
_INTERRUPT_GRACE_S = 30


@dataclass(frozen=True)
class Event:
    """One line of Terraform's machine-readable output that a person may want to see."""

    kind: str
    address: str
    message: str
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Operation:
    """One resource's part in an apply: seconds since its beginning."""

    address: str
    started_s: float
    ended_s: float


@dataclass(frozen=True)
class Applied:
    seconds: float
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Terraform:
    """One root module in one data folder. Two of them on one root work side by side.

    `lock`: whether a plan holds the state's lock, which one that is never applied need not.
    """

    binary: Path
    root: Path
    data_dir: Path
    environ: Mapping[str, str]
    var_file: Path | None = None
    timeout_s: float = 1800
    lock: bool = True
    unlock_command: str = "terraform force-unlock"
    on_event: Callable[[Event], None] = field(default=lambda _event: None)

    def init(self, backend: Mapping[str, str] | None = None, *, migrate: bool = False) -> None:
        """Installs the locked providers and connects the backend."""
        options: dict[str, Any] = {"lockfile": "readonly", "backend_config": dict(backend or {})}
        options |= (
            {"migrate_state": IsFlagged, "force_copy": IsFlagged} if migrate else {"reconfigure": IsFlagged}
        )
        self._run("init", **options)

    def select_workspace(self, name: str) -> None:
        """Makes the workspace where it is absent."""
        self._run("workspace select", name, or_create=True)

    def touch_state(self) -> None:
        """Makes the workspace's state where there is none yet, as every command but `workspace` does."""
        self._run("state pull")

    def forget(self, addresses: Iterable[str]) -> None:
        """Takes addresses out of the state; what they stood for stays as it is."""
        self._run("state rm", *addresses)

    def plan(self, out: Path) -> tuple[Change, ...]:
        """Saves a plan at `out`; what it would change, empty when nothing.

        Raises: TerraformError where a variable is given that the root does not have: Terraform only warns.
        """
        changes: list[Change] = []
        unknown: list[str] = []
        options = {"out": out, "json": IsFlagged, "detailed_exitcode": IsFlagged, "var_file": self.var_file}
        options |= {} if self.lock else {"lock": False}
        # Exit code 2 means changes: a success, told apart from 1 by -detailed-exitcode.
        for line in self._stream("plan", good=(0, 2), **options):
            if line.get("type") == "planned_change":
                changes.append(_read_change(line["change"]))
            if line.get("type") == "diagnostic" and "undeclared variable" in line["diagnostic"]["summary"]:
                unknown.append(_describe_problem(line["diagnostic"]))
        if unknown:
            out.unlink(missing_ok=True)
            raise TerraformError(f"terraform plan in {self.root.name} failed: {'; '.join(unknown)}")
        return tuple(changes)

    def show_plan(self, plan: Path) -> dict[str, Any]:
        """The saved plan as Terraform's JSON representation."""
        shown: dict[str, Any] = json.loads(self._run("show", str(plan), json=IsFlagged))
        return shown

    def apply(self, plan: Path) -> Applied:
        """Applies exactly this saved plan."""
        return time_operations(self._stream("apply", str(plan), json=IsFlagged))

    def destroy(self) -> Applied:
        """Destroys everything in the state."""
        return time_operations(
            self._stream("destroy", json=IsFlagged, auto_approve=IsFlagged, var_file=self.var_file)
        )

    def output(self) -> dict[str, Any]:
        """Output values by name."""
        outputs = json.loads(self._run("output", json=IsFlagged))
        return {name: output["value"] for name, output in outputs.items()}

    def _run(self, command: str, *arguments: str, **options: Any) -> str:
        """Standard output of a command that ended well."""
        process = self._start(command, *arguments, **options)
        with _Deadline(process, timeout_s=self.timeout_s) as deadline:
            out, err = process.communicate()
        deadline.check(command, root=self.root)
        if process.returncode != 0:
            raise self._failure(command, problems=[], stderr=err or out)
        return out

    def _stream(
        self, command: str, *arguments: str, good: tuple[int, ...] = (0,), **options: Any
    ) -> Iterator[dict[str, Any]]:
        """JSON lines of a command while it runs; raises at its end if it failed."""
        process = self._start(command, *arguments, **options)
        problems: list[str] = []
        errors: list[str] = []
        # A full stderr pipe would stop Terraform while we wait on stdout.
        reader = threading.Thread(target=errors.extend, args=(process.stderr or (),), daemon=True)
        reader.start()
        with _Deadline(process, timeout_s=self.timeout_s) as deadline:
            for text in process.stdout or ():
                line = _parse_line(text)
                if line.get("type") == "diagnostic" and line.get("@level") == "error":
                    problems.append(_describe_problem(line["diagnostic"]))
                if event := _read_event(line):
                    self.on_event(event)
                yield line
            process.wait()
        reader.join()
        deadline.check(command, root=self.root)
        if process.returncode not in good:
            raise self._failure(command, problems=problems, stderr="".join(errors))

    def _failure(self, command: str, *, problems: list[str], stderr: str) -> TerraformError | SetupError:
        """Terraform's own diagnosis; a provider that cannot be had is a matter of set-up."""
        diagnosis = "; ".join(problems) or _strip_frame(stderr) or "it gave no reason"
        message = f"terraform {command} in {self.root.name} failed: {diagnosis}"
        if any(mark in diagnosis.lower() for mark in _UNREACHABLE):
            return SetupError(
                f"{message} The AWS provider cannot be had: run `make setup`, which looks for a mirror, or "
                "give the machine access to the Terraform registry."
            )
        if _NO_STATE_BUCKET in diagnosis.lower():
            return TerraformError(f"{message} Run `mlops bootstrap` first: it makes the state bucket.")
        if lock := find_told_lock(diagnosis):
            return StateLockedError(
                f"The state of {self.root.name} is locked, {lock.describe(now=datetime.now(UTC))}. Wait for "
                f"its owner, or, if that one is dead, free it: `{self.unlock_command} --id {lock.id}`."
            )
        return TerraformError(message)

    def _start(self, command: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        composer = CommandComposer(working_dir=str(self.root), terraform_bin_path=str(self.binary))
        flags = {} if command in ("state pull", "state rm", "workspace select") else {"no_color": IsFlagged}
        line = composer.generate_cmd_string(command, *arguments, **flags, **options)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            return subprocess.Popen(
                line,
                cwd=self.root,
                env={**self.environ, "TF_DATA_DIR": str(self.data_dir)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # Ctrl-C reaches a terminal's whole group. With a second interrupt, ours, Terraform would drop
                # everything and leave its lock behind.
                process_group=0,
            )
        except OSError as error:
            raise SetupError(f"Terraform cannot be started: {error}. Run `make setup`.") from error


class _Deadline:
    """Interrupts a process that is out of time, as Ctrl-C would, and kills it when that does not help.

    Leaving the block by an exception (Ctrl-C, a reader that gave up) ends the process the same way.
    """

    def __init__(self, process: subprocess.Popen[str], *, timeout_s: float) -> None:
        self._process = process
        self._timeout_s = timeout_s
        self._expired = False
        self._timer = threading.Timer(timeout_s, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        self._timer.cancel()
        if kind is not None:
            self._end()

    def check(self, command: str, *, root: Path) -> None:
        if self._expired:
            raise TerraformError(
                f"terraform {command} in {root.name} was ended after {self._timeout_s:g} s. "
                "Plan and run it again: it goes on from what exists."
            )

    def _expire(self) -> None:
        self._expired = True
        self._end()

    def _end(self) -> None:
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_INTERRUPT_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _parse_line(text: str) -> dict[str, Any]:
    """A line of `-json` output; what is not JSON (a provider's print) becomes a plain message."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) else {"type": "text", "@message": text.rstrip()}


_SHOWN = {
    "apply_progress",
    "apply_start",
    "apply_complete",
    "apply_errored",
    "planned_change",
    "change_summary",
}


def _read_event(line: Mapping[str, Any]) -> Event | None:
    if line.get("type") not in _SHOWN:
        return None
    hook = line.get("hook") or line.get("change") or {}
    if hook.get("action") == "read":
        return None
    return Event(
        kind=line["type"],
        address=hook.get("resource", {}).get("addr", ""),
        message=line.get("@message", ""),
        elapsed_s=float(hook.get("elapsed_seconds", 0)),
    )


def _read_change(change: Mapping[str, Any]) -> Change:
    return Change(address=change["resource"]["addr"], action=change["action"])


def time_operations(
    lines: Iterable[Mapping[str, Any]], clock: Callable[[], float] = time.monotonic
) -> Applied:
    """When each resource's operation began and ended, by the clock of whoever reads the lines."""
    beginning = clock()
    started: dict[str, float] = {}
    operations: list[Operation] = []
    for line in lines:
        address = line.get("hook", {}).get("resource", {}).get("addr", "")
        if line.get("type") == "apply_start":
            started[address] = clock() - beginning
        if line.get("type") in {"apply_complete", "apply_errored"}:
            operations.append(Operation(address, started.pop(address, 0.0), clock() - beginning))
    return Applied(seconds=clock() - beginning, operations=tuple(operations))


def measure_waiting(operations: Iterable[Operation], *, at_least_s: float = 5.0) -> float:
    """Seconds during which some operation of `at_least_s` or longer was under way.

    Against an AWS that answers in milliseconds such an operation is the provider's own polling, so this is
    the part of an apply that no change on our side would shorten.
    """
    waits = sorted((o.started_s, o.ended_s) for o in operations if o.ended_s - o.started_s >= at_least_s)
    total, reached = 0.0, 0.0
    for start, end in waits:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _describe_problem(diagnostic: Mapping[str, Any]) -> str:
    """One line: summary, detail, where."""
    where = diagnostic.get("range") or {}
    place = f" ({where['filename']}:{where['start']['line']})" if where.get("filename") else ""
    address = f" [{diagnostic['address']}]" if diagnostic.get("address") else ""
    return " ".join(f"{diagnostic['summary']}{address}{place}: {diagnostic.get('detail', '')}".split())


_UNREACHABLE = (
    "could not connect to registry",
    "failed to query available provider packages",
    "failed to install provider",
)
_NO_STATE_BUCKET = "the referenced s3 bucket must have been previously created"


def _strip_frame(text: str) -> str:
    """Terraform draws a frame of box characters around what it says to people, some of it in colour."""
    bare = (line.strip(" │╷╵") for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines())
    return " ".join(word for word in bare if word)
