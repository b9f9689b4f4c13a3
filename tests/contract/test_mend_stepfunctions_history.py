"""The history tells what a task called and how it went."""

from __future__ import annotations

import json
from typing import Any

from mend_servers import Server, allow, mended, plain, task, unique


def events(server: Server) -> list[dict[str, Any]]:
    role = server.role("states", allow("*"))
    inner = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    child = server.client("stepfunctions").create_state_machine(
        name=unique("child"), definition=inner, roleArn=role
    )
    parameters = {"StateMachineArn": child["stateMachineArn"], "Input": {"a": 1}}
    definition = task("arn:aws:states:::states:startExecution.sync:2", parameters, TimeoutSeconds=30)
    return server.history(server.execute(definition, role=role)["executionArn"])


def test_ministack_still_lacks_what_a_task_called() -> None:
    found = events(plain())

    assert (
        "parameters"
        not in next(e for e in found if e["type"] == "TaskScheduled")["taskScheduledEventDetails"]
    )
    assert not {"TaskStarted", "TaskSubmitted"} & {e["type"] for e in found}


def test_a_task_is_told_from_schedule_to_end() -> None:
    found = events(mended())

    assert [event["type"] for event in found] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    scheduled = found[2]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"]) == ("states", "startExecution.sync:2")
    assert (scheduled["region"], scheduled["timeoutInSeconds"]) == ("us-east-1", 30)
    assert json.loads(scheduled["parameters"])["Input"] == {"a": 1}
    assert [event["previousEventId"] for event in found[1:]] == [event["id"] for event in found[:-1]]


def test_a_timeout_has_an_event_of_its_own() -> None:
    server = mended()
    sleeping = server.function("import time\ndef handler(e, c): time.sleep(10)")
    definition = task(
        "arn:aws:states:::lambda:invoke", {"FunctionName": sleeping, "Payload": {}}, TimeoutSeconds=1
    )

    ended = server.execute(definition, role=server.role("states", allow("lambda:InvokeFunction")))

    timed_out = next(e for e in server.history(ended["executionArn"]) if e["type"] == "TaskTimedOut")
    assert timed_out["taskTimedOutEventDetails"]["error"] == "States.Timeout"
