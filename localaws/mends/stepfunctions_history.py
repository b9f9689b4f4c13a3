"""Step Functions: the history tells what a task called and how it went.

AWS: TaskScheduled carries the service, the action, the region and the parameters; TaskStarted,
    TaskSubmitted (with the answer, for `.sync` and tokens) and TaskTimedOut have events of their own; every
    event names the one before it; an ended execution gets no more [API page of HistoryEvent].
ministack: TaskScheduled has the whole ARN and no parameters; there is no TaskStarted, TaskSubmitted or
    TaskTimedOut; no previousEventId; events follow the end.
Hook: `services/stepfunctions.py::_add_event`; `stepfunctions_tasks` adds the events ministack does not
    know.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core.responses import get_region
from ministack.services import stepfunctions

from localaws.mends.stepfunctions_resources import Integration, parse_resource

VERSION = "1.5.33"

DETAILS = {
    "TaskScheduled": "taskScheduledEventDetails",
    "TaskStarted": "taskStartedEventDetails",
    "TaskSubmitted": "taskSubmittedEventDetails",
    "TaskSucceeded": "taskSucceededEventDetails",
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
}


def apply() -> None:
    """Makes the history complete."""
    add = stepfunctions._add_event

    def add_event(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> Any:
        if execution["status"] != "RUNNING" and not event_type.startswith("Execution"):
            return None
        if event_type in DETAILS and details is not None:
            event_type, details = _task_event(event_type, details[DETAILS[event_type]])
            if event_type == "":
                return None
        event = add(execution, event_type, details)
        event["previousEventId"] = event["id"] - 1
        return event

    stepfunctions._add_event = add_event


def add_task_event(
    execution: dict[str, Any], event_type: str, integration: Integration, **details: Any
) -> None:
    """Adds a task's event with what every one of them names."""
    named = {"resourceType": integration.service, "resource": _action(integration), **details}
    stepfunctions._add_event(execution, event_type, {DETAILS[event_type]: named})


def add_scheduled(
    execution: dict[str, Any], integration: Integration, data: Any, timeout_s: float | None
) -> None:
    """Adds TaskScheduled and TaskStarted."""
    details = {"region": get_region(), "parameters": json.dumps(data)}
    if timeout_s is not None:
        details["timeoutInSeconds"] = timeout_s
    add_task_event(execution, "TaskScheduled", integration, **details)
    add_task_event(execution, "TaskStarted", integration)


def _task_event(event_type: str, details: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An event of ministack's put right; its TaskScheduled is dropped, since `add_scheduled` knows more."""
    integration = parse_resource(details["resource"])
    if integration is None:
        return event_type, {DETAILS[event_type]: details}
    if event_type == "TaskScheduled":
        return "", {}
    if event_type == "TaskFailed" and details.get("error") in ("States.Timeout", "States.HeartbeatTimeout"):
        event_type = "TaskTimedOut"
    named = {**details, "resourceType": integration.service, "resource": _action(integration)}
    return event_type, {DETAILS[event_type]: named}


def _action(integration: Integration) -> str:
    name = f"{integration.service}:{integration.action}" if integration.is_sdk else integration.action
    return f"{name}.{integration.pattern}" if integration.pattern else name
