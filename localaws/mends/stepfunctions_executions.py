"""Step Functions: executions start once, end in time, and stay ended.

AWS: StartExecution with the name and input of a running execution answers with that execution; a state
    machine's TimeoutSeconds ends its execution as TIMED_OUT; StopExecution ends a wait at once, and nothing
    is added to the history of an ended execution [API pages of StartExecution and StopExecution, "State
    machine structure in Amazon States Language"].
ministack: refuses the second start, ignores TimeoutSeconds, sleeps on in a stopped execution, and a task
    that fails afterwards turns ABORTED into FAILED.
Hook: `services/stepfunctions.py::_start_execution`, `::_run_execution`, `::_fail_execution`,
    `::_scaled_sleep`.
"""

from __future__ import annotations

import contextvars
import json
import threading
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region, json_response, now_iso
from ministack.services import stepfunctions

from localaws.mends.stepfunctions_runs import POLL_S, ExecutionEnded

VERSION = "1.5.33"

_execution: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "stepfunctions_execution", default=None
)


def apply() -> None:
    """Makes executions start once and end when they should."""
    start, run, fail = (
        stepfunctions._start_execution,
        stepfunctions._run_execution,
        stepfunctions._fail_execution,
    )

    def start_execution(data: dict[str, Any]) -> Any:
        running = _running_twin(data)
        if running is None:
            return start(data)
        return json_response({"executionArn": running["executionArn"], "startDate": running["startDate"]})

    def run_execution(execution_arn: str) -> None:
        execution = stepfunctions._executions.get(execution_arn)
        if execution is None:
            return
        _execution.set(execution)
        timer = _start_timer(execution)
        try:
            run(execution_arn)
        finally:
            if timer is not None:
                timer.cancel()

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    stepfunctions._start_execution = start_execution
    stepfunctions._run_execution = run_execution
    stepfunctions._fail_execution = fail_execution
    stepfunctions._scaled_sleep = _sleep


def _running_twin(data: dict[str, Any]) -> dict[str, Any] | None:
    """The running execution that a start with this name and input means, if there is one."""
    machine_arn = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    if machine_arn is None or not data.get("name"):
        return None
    machine_name = machine_arn.rsplit(":", 1)[-1]
    arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine_name}:{data['name']}"
    execution: dict[str, Any] | None = stepfunctions._executions.get(arn)
    if execution is None or execution["status"] != "RUNNING":
        return None
    return execution if execution["input"] == data.get("input", "{}") else None


def _start_timer(execution: dict[str, Any]) -> threading.Timer | None:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    timeout_s = json.loads(machine.get("definition") or "{}").get("TimeoutSeconds")
    if timeout_s is None:
        return None
    context = contextvars.copy_context()
    timer = threading.Timer(timeout_s, context.run, (_time_out, execution))
    timer.daemon = True
    timer.start()
    return timer


def _time_out(execution: dict[str, Any]) -> None:
    if execution["status"] != "RUNNING":
        return
    execution["status"] = "TIMED_OUT"
    execution["stopDate"] = now_iso()
    stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    stepfunctions._emit_execution_status_event(execution)


def _sleep(seconds: float) -> None:
    """A wait that an ended execution does not sit out. Raises: ExecutionEnded."""
    deadline = time.monotonic() + seconds * stepfunctions._SFN_WAIT_SCALE
    execution = _execution.get()
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, POLL_S))
        if execution is not None and execution["status"] != "RUNNING":
            raise ExecutionEnded
