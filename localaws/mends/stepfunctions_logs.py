"""Step Functions: a state machine with logging writes its executions' history to its log group.

AWS: every event of the wanted level goes to the log group, in a stream `states/<machine>/<hour>/<random>`,
    with input and output only if includeExecutionData says so ["Using CloudWatch Logs to log execution
    history in Step Functions"].
ministack: keeps loggingConfiguration and writes nothing.
Hook: `services/stepfunctions.py::_add_event`.
"""

from __future__ import annotations

import json
import secrets
import threading
from datetime import datetime
from typing import Any

from ministack.services import cloudwatch_logs, stepfunctions

VERSION = "1.5.33"

ENDINGS = ("Failed", "TimedOut", "Aborted")
DATA_MEMBERS = ("input", "output", "parameters")
EXECUTION_ENDINGS = tuple(f"Execution{ending}" for ending in ENDINGS)

_lock = threading.Lock()
_streams: dict[tuple[str, str, str], str] = {}


def apply() -> None:
    """Makes executions logged."""
    add = stepfunctions._add_event

    def add_event(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> Any:
        event = add(execution, event_type, details)
        _log(execution)
        return event

    stepfunctions._add_event = add_event


def is_wanted(level: str, event_type: str) -> bool:
    """Whether a log level includes an event."""
    if level == "FATAL":
        return event_type in EXECUTION_ENDINGS
    return level == "ALL" or (level == "ERROR" and event_type.endswith((*ENDINGS, "FailStateEntered")))


def message_of(execution: dict[str, Any], event: dict[str, Any], *, with_data: bool) -> dict[str, Any]:
    """The log line of a history event."""
    details: dict[str, Any] = next(
        (value for name, value in event.items() if name.endswith("EventDetails")), {}
    )
    kept = {name: value for name, value in details.items() if with_data or name not in DATA_MEMBERS}
    return {
        "id": str(event["id"]),
        "type": event["type"],
        "details": kept,
        "previous_event_id": str(event["id"] - 1),
        "event_timestamp": str(_epoch_ms(event)),
        "execution_arn": execution["executionArn"],
        "redrive_count": "0",
    }


def _log(execution: dict[str, Any]) -> None:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    configuration = machine.get("loggingConfiguration") or {}
    level = configuration.get("level", "OFF")
    group = _group(configuration)
    if level == "OFF" or group is None:
        return
    with _lock:
        # The first event of an execution is there before any other is added.
        new = execution["events"][execution.get("logged", 0) :]
        execution["logged"] = len(execution["events"])
        with_data = bool(configuration.get("includeExecutionData"))
        lines = [
            {
                "timestamp": _epoch_ms(event),
                "message": json.dumps(message_of(execution, event, with_data=with_data)),
            }
            for event in new
            if is_wanted(level, event["type"])
        ]
        if lines:
            stream = _stream(group, machine["name"], execution["startDate"][:13])
            cloudwatch_logs._put_log_events(
                {"logGroupName": group, "logStreamName": stream, "logEvents": lines}
            )


def _group(configuration: dict[str, Any]) -> str | None:
    """The log group's name, if the group is there."""
    for destination in configuration.get("destinations", []):
        arn = destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        name = arn.partition(":log-group:")[2].removesuffix(":*")
        if name in cloudwatch_logs._log_groups:
            return str(name)
    return None


def _stream(group: str, machine: str, hour: str) -> str:
    key = (group, machine, hour)
    if key not in _streams or _streams[key] not in cloudwatch_logs._log_groups[group]["streams"]:
        _streams[key] = f"states/{machine}/{hour.replace('T', '-')}/{secrets.token_hex(4)}"
        cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": _streams[key]})
    return _streams[key]


def _epoch_ms(event: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000)
