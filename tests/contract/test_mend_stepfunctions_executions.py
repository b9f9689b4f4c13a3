"""Executions start once, end in time, and stay ended."""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, mended, plain, unique, until

SLOW = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}


def machine(server: Server, definition: dict[str, object]) -> str:
    arn: str = server.client("stepfunctions").create_state_machine(
        name=unique("machine"), definition=json.dumps(definition), roleArn=server.role("states")
    )["stateMachineArn"]
    return arn


def start_twice(server: Server) -> set[str]:
    arn = machine(server, SLOW)
    states = server.client("stepfunctions")
    return {
        states.start_execution(stateMachineArn=arn, name="one", input="{}")["executionArn"] for _ in range(2)
    }


def test_ministack_still_refuses_the_second_start() -> None:
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start_twice(plain())


def test_the_same_start_twice_is_one_execution() -> None:
    assert len(start_twice(mended())) == 1


def test_another_input_or_an_ended_execution_is_refused() -> None:
    server = mended()
    states = server.client("stepfunctions")
    arn = machine(server, SLOW)
    execution = states.start_execution(stateMachineArn=arn, name="one", input="{}")["executionArn"]

    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=arn, name="one", input='{"a": 1}')
    states.stop_execution(executionArn=execution)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=arn, name="one", input="{}")


def test_ministack_still_ignores_the_state_machines_time() -> None:
    execution = plain().start({**SLOW, "TimeoutSeconds": 1}, role=plain().role("states"))

    time.sleep(2.5)

    assert plain().client("stepfunctions").describe_execution(executionArn=execution)["status"] == "RUNNING"


def test_an_execution_that_takes_too_long_is_timed_out() -> None:
    server = mended()

    ended = server.execute({**SLOW, "TimeoutSeconds": 1}, role=server.role("states"), timeout_s=5)

    assert ended["status"] == "TIMED_OUT"
    assert server.history(ended["executionArn"])[-1]["type"] == "ExecutionTimedOut"


def test_a_stopped_execution_gets_no_more_events() -> None:
    server = mended()
    definition = {
        "StartAt": "W",
        "States": {"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": {"Type": "Pass", "End": True}},
    }
    execution = server.start(definition, role=server.role("states"))
    until(lambda: len(server.history(execution)), lambda events: events > 1)

    server.client("stepfunctions").stop_execution(executionArn=execution)
    time.sleep(1.5)

    assert server.history(execution)[-1]["type"] == "ExecutionAborted"
