"""Step Functions: a Task is a call in the state machine's role, and it ends when its time or its execution
ends.

AWS: every service integration is a call signed by a session of the state machine's role. A task that passes
    its TimeoutSeconds fails with States.Timeout, one without a heartbeat with States.HeartbeatTimeout, and
    a stopped execution ends its task at once. A callback's token is dead afterwards; output beyond 256 KiB
    is refused ["Discover service integration patterns in Step Functions", "Task workflow state", "Handling
    errors in Step Functions workflows", API pages of SendTaskSuccess and StopExecution, "Quotas related to
    task executions"].
ministack: calls its own functions with no principal, so IAM is not asked; a task that timed out or whose
    execution was stopped goes on; errors of a Lambda called with a token are swallowed; dead tokens and
    unknown ones are TaskDoesNotExist; TimeoutSecondsPath and heartbeats are ignored.
Hook: `services/stepfunctions.py::_execute_task`, `::_invoke_resource`, `::_invoke_resource_with_timeout`,
    `::_invoke_with_callback`, `::_send_task_success`, `::_send_task_failure`, `::_send_task_heartbeat`.

Activities and ECS stay with ministack.
"""

from __future__ import annotations

import contextvars
import json
import threading
from collections import deque
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import stepfunctions

from localaws.mends import stepfunctions_history as history
from localaws.mends import stepfunctions_integrations as integrations
from localaws.mends.stepfunctions_resources import Integration, parse_resource
from localaws.mends.stepfunctions_runs import POLL_S, Run, TaskError

VERSION = "1.5.33"

MAX_OUTPUT_BYTES = 262_144
REMEMBERED_TOKENS = 10_000

_run: contextvars.ContextVar[Run] = contextvars.ContextVar("stepfunctions_run")
_dead_tokens: deque[str] = deque(maxlen=REMEMBERED_TOKENS)


def apply() -> None:
    """Makes tasks act in their state machine's role and end in time."""
    execute = stepfunctions._execute_task
    invoke = stepfunctions._invoke_resource
    invoke_with_timeout = stepfunctions._invoke_resource_with_timeout
    invoke_with_callback = stepfunctions._invoke_with_callback

    def execute_task(state: Any, raw_input: Any, execution: Any, context: Any) -> Any:
        resolved = _with_paths_read(state, raw_input, context)
        token = _run.set(_run_of(execution, resolved))
        try:
            return execute(resolved, raw_input, execution, context)
        finally:
            _run.reset(token)

    def invoke_resource(resource: str, data: Any) -> Any:
        integration = parse_resource(resource)
        if integration is None:
            return invoke(resource, data)
        run = _run.get().started()
        history.add_scheduled(run.execution, integration, data, run.timeout_s)
        return _bounded_output(integrations.call(run, integration, data))

    def invoke_resource_with_timeout(resource: str, data: Any, timeout_s: float) -> Any:
        if parse_resource(resource) is None:
            return invoke_with_timeout(resource, data, timeout_s)
        return invoke_resource(resource, data)

    def invoke_resource_with_callback(resource: str, data: Any, token: str, state: Any) -> Any:
        integration = parse_resource(resource)
        if integration is None:
            return invoke_with_callback(resource, data, token, state)
        return _bounded_output(_wait_for_callback(integration, data, token, state.get("HeartbeatSeconds")))

    stepfunctions._execute_task = execute_task
    stepfunctions._invoke_resource = invoke_resource
    stepfunctions._invoke_resource_with_timeout = invoke_resource_with_timeout
    stepfunctions._invoke_with_callback = invoke_resource_with_callback
    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        setattr(stepfunctions, name, _refusing_dead_tokens(getattr(stepfunctions, name)))


def _with_paths_read(state: dict[str, Any], raw_input: Any, context: dict[str, Any]) -> dict[str, Any]:
    resolved = dict(state)
    for name in ("TimeoutSeconds", "HeartbeatSeconds"):
        path = resolved.pop(f"{name}Path", None)
        if path is not None:
            resolved[name] = stepfunctions._resolve_path_or_ctx(path, raw_input, context)
    return resolved


def _run_of(execution: dict[str, Any], state: dict[str, Any]) -> Run:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    return Run(execution, machine.get("roleArn", ""), timeout_s=state.get("TimeoutSeconds"))


def _wait_for_callback(integration: Integration, data: Any, token: str, heartbeat_s: float | None) -> Any:
    run = _run.get().started()
    done = threading.Event()
    entry: dict[str, Any] = {"event": done, "result": None, "error": None, "heartbeat": None}
    if token in _dead_tokens:  # ministack keeps the token of a task through its retries
        _dead_tokens.remove(token)
    stepfunctions._task_tokens[token] = entry
    history.add_scheduled(run.execution, integration, data, run.timeout_s)
    try:
        answer = integrations.call(run, integration, data)
        history.add_task_event(run.execution, "TaskSubmitted", integration, output=json.dumps(answer))
        _wait(run, entry, heartbeat_s)
    finally:
        stepfunctions._task_tokens.pop(token, None)
        _dead_tokens.append(token)
    if entry["error"]:
        raise TaskError(entry["error"]["Error"], entry["error"]["Cause"])
    return json.loads(entry["result"])


def _wait(run: Run, entry: dict[str, Any], heartbeat_s: float | None) -> None:
    """Returns when the callback came. Raises when the task, its heartbeat or its execution ended first."""
    seen, beat = None, run.started(heartbeat_s)
    while not entry["event"].wait(min(POLL_S, max(run.seconds_left(), 0.0))):
        run.check()
        if entry["heartbeat"] != seen:
            seen, beat = entry["heartbeat"], run.started(heartbeat_s)
        if heartbeat_s is not None and beat.seconds_left() <= 0:
            raise TaskError("States.HeartbeatTimeout", "")


def _bounded_output(output: Any) -> Any:
    if len(json.dumps(output).encode()) > MAX_OUTPUT_BYTES:
        message = (
            "The task returned a result with a size exceeding the maximum number of bytes service limit."
        )
        raise TaskError("States.DataLimitExceeded", message)
    return output


def _refusing_dead_tokens(send: Any) -> Any:
    def handle(data: dict[str, Any]) -> Any:
        token = data.get("taskToken")
        entry = stepfunctions._task_tokens.get(token)
        if token in _dead_tokens or (entry is not None and entry["event"].is_set()):
            message = "Task Timed Out: 'Provided task does not exist anymore'"
            return error_response_json("TaskTimedOut", message, 400)
        if entry is None:
            return error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)
        return send(data)

    return handle
