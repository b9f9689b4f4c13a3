"""A state machine with logging writes its executions' history to its log group."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, REGION, Server, allow, mended, plain, unique, until

from localaws.mends.stepfunctions_definitions import LOG_ACTIONS
from localaws.mends.stepfunctions_logs import is_wanted

PASSING = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})


def logged(server: Server, *, with_data: bool, count: int) -> list[dict[str, Any]]:
    """The log lines of an execution, `count` of them if they come."""
    group = unique("/states")
    server.client("logs").create_log_group(logGroupName=group)
    destination = {"logGroupArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"}
    states = server.client("stepfunctions")
    machine = states.create_state_machine(
        name=unique("machine"),
        definition=PASSING,
        roleArn=server.role("states", allow(*LOG_ACTIONS)),
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": with_data,
            "destinations": [{"cloudWatchLogsLogGroup": destination}],
        },
    )
    states.start_execution(stateMachineArn=machine["stateMachineArn"], input='{"secret": 1}')

    def lines() -> list[dict[str, Any]]:
        events = server.client("logs").filter_log_events(logGroupName=group)["events"]
        return [json.loads(event["message"]) for event in events]

    return list(until(lines, lambda found: len(found) >= count, timeout_s=3))


def test_ministack_still_writes_nothing() -> None:
    assert logged(plain(), with_data=True, count=1) == []


@pytest.mark.parametrize("with_data", [True, False])
def test_the_history_is_logged(with_data: bool) -> None:
    found = logged(mended(), with_data=with_data, count=4)

    assert [line["type"] for line in found] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert ("secret" in json.dumps(found)) is with_data


def test_logging_needs_a_permission() -> None:
    server = mended()
    destination = {"logGroupArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:*"}
    configuration = {"level": "ALL", "destinations": [{"cloudWatchLogsLogGroup": destination}]}

    with pytest.raises(ClientError, match="is not authorized to access the Log Destination"):
        server.client("stepfunctions").create_state_machine(
            name=unique("machine"),
            definition=PASSING,
            roleArn=server.role("states"),
            loggingConfiguration=configuration,
        )


@pytest.mark.parametrize(
    ("level", "event", "wanted"),
    [
        ("ALL", "TaskScheduled", True),
        ("ERROR", "TaskScheduled", False),
        ("ERROR", "TaskFailed", True),
        ("ERROR", "FailStateEntered", True),
        ("ERROR", "PassStateEntered", False),
        ("FATAL", "TaskFailed", False),
        ("FATAL", "ExecutionTimedOut", True),
    ],
)
def test_levels(level: str, event: str, wanted: bool) -> None:
    assert is_wanted(level, event) is wanted
