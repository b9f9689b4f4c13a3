"""A running task of Step Functions: in whose role it acts, and when it must have ended.

Not a mend: `stepfunctions_tasks` and `stepfunctions_executions` use it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ministack.services import stepfunctions

from localaws.mends import role_sessions

SERVICE_PRINCIPAL = "states.amazonaws.com"
# How soon an ended task, job or execution is noticed.
POLL_S = 0.25

TaskError: type[Exception] = stepfunctions._ExecutionError


class ExecutionEnded(SystemExit):
    """The execution was stopped or timed out: its thread ends quietly, past every Retry and Catch."""


@dataclass(frozen=True)
class Run:
    """One attempt of a task."""

    execution: dict[str, Any]
    role_arn: str
    timeout_s: float | None = None
    deadline: float = math.inf

    def started(self, timeout_s: float | None = None) -> Run:
        """The attempt, starting now; `timeout_s` is the task's own unless another is given."""
        limit = self.timeout_s if timeout_s is None else timeout_s
        return replace(self, deadline=math.inf if limit is None else time.monotonic() + limit)

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raises when the attempt must not go on: States.Timeout, or ExecutionEnded."""
        if self.execution["status"] != "RUNNING":
            raise ExecutionEnded
        if self.seconds_left() <= 0:
            raise TaskError("States.Timeout", "")

    def sleep(self, seconds: float) -> None:
        self.check()
        time.sleep(max(min(seconds, self.seconds_left()), 0.0))

    def client(self, service: str) -> Any:
        """A client signed by the state machine's role; a role that cannot be assumed fails the task."""
        machine_arn = self.execution["stateMachineArn"]
        try:
            return role_sessions.client(
                service,
                self.role_arn,
                service_principal=SERVICE_PRINCIPAL,
                session_name=machine_arn.rsplit(":", 1)[-1],
                source_arn=machine_arn,
            )
        except role_sessions.RoleError as error:
            raise TaskError("States.TaskFailed", str(error)) from error

    def bounded(self, call: Callable[[], Any]) -> Any:
        """The call's result. An attempt that must not go on leaves the call behind."""
        self.check()
        outcome: list[Any] = []
        failure: list[BaseException] = []

        def target() -> None:
            try:
                outcome.append(call())
            except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
                failure.append(error)

        thread = threading.Thread(target=target, daemon=True, name="stepfunctions-call")
        thread.start()
        thread.join(min(POLL_S, max(self.seconds_left(), 0.0)))
        while thread.is_alive():
            self.check()
            thread.join(min(POLL_S, max(self.seconds_left(), 0.0)))
        if failure:
            raise failure[0]
        return outcome[0]
