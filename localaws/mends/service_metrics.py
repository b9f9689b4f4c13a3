"""CloudWatch: Step Functions and SQS publish the metrics that alarms watch.

AWS: AWS/States counts ExecutionsStarted, and ExecutionsSucceeded, Failed, TimedOut and Aborted by
    StateMachineArn; AWS/SQS tells each minute, while a queue is active, how many messages are visible, by
    QueueName ["Monitoring Step Functions metrics using Amazon CloudWatch", "Available CloudWatch metrics
    for Amazon SQS"].
ministack: publishes neither.
Hook: `services/stepfunctions.py::_add_event`; queues are looked at every second.

A queue is told of when it holds messages or held some the last time.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, sqs, stepfunctions

VERSION = "1.5.33"

LOOK_S = 1.0
STATES = {
    "ExecutionStarted": "ExecutionsStarted",
    "ExecutionSucceeded": "ExecutionsSucceeded",
    "ExecutionFailed": "ExecutionsFailed",
    "ExecutionTimedOut": "ExecutionsTimedOut",
    "ExecutionAborted": "ExecutionsAborted",
}
VISIBLE = "ApproximateNumberOfMessagesVisible"

_told: dict[tuple[str, str, str], int] = {}


def apply() -> None:
    """Makes both publish."""
    add = stepfunctions._add_event

    def add_event(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> Any:
        event = add(execution, event_type, details)
        if event_type in STATES:
            machine = {"StateMachineArn": execution["stateMachineArn"]}
            cloudwatch.record_metric("AWS/States", STATES[event_type], 1, "Count", machine)
        return event

    stepfunctions._add_event = add_event
    threading.Thread(target=_look_forever, daemon=True, name="sqs-metrics").start()


def _look_forever() -> None:
    while True:
        time.sleep(LOOK_S)
        for key, queue in list(sqs._queues.all_items()):
            scope = sqs._queue_scope_from_record(key, queue)
            if scope:
                _tell(scope[0], scope[1], queue)


def _tell(account_id: str, region: str, queue: dict[str, Any]) -> None:
    now = time.time()
    visible = sum(message.get("visible_at", now) <= now for message in list(queue["messages"]))
    place = (account_id, region, queue["name"])
    if not visible and not _told.get(place):
        return
    _told[place] = visible
    with request_scope(account_id, region):
        cloudwatch.record_metric("AWS/SQS", VISIBLE, visible, "Count", {"QueueName": queue["name"]})
