"""A state machine that cannot work is refused when it is created; tracing is read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, allow, mended, plain, task, unique

from localaws.mends.stepfunctions_definitions import problems_of

PASSING = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
HANGING = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "Nowhere"}}}
SYNC = task("arn:aws:states:::sagemaker:createTrainingJob.sync", {"TrainingJobName": "j"})


def create(server: Server, definition: dict[str, Any], *statements: dict[str, Any], **options: Any) -> str:
    arn: str = server.client("stepfunctions").create_state_machine(
        name=unique("machine"),
        definition=json.dumps(definition),
        roleArn=server.role("states", *statements),
        **options,
    )["stateMachineArn"]
    return arn


def test_ministack_still_takes_what_cannot_work() -> None:
    server = plain()
    create(server, HANGING)
    create(server, SYNC)
    arn = create(server, PASSING, tracingConfiguration={"enabled": True})

    described = server.client("stepfunctions").describe_state_machine(stateMachineArn=arn)

    assert "tracingConfiguration" not in described
    validated = server.client("stepfunctions").validate_state_machine_definition(definition="{}")
    assert validated["result"] == "OK"


def test_a_definition_that_does_not_hang_together_is_refused() -> None:
    server = mended()
    with pytest.raises(ClientError, match=r'InvalidDefinition.*Missing "Next" target: Nowhere'):
        create(server, HANGING)
    arn = create(server, PASSING)
    with pytest.raises(ClientError, match="InvalidDefinition"):
        server.client("stepfunctions").update_state_machine(
            stateMachineArn=arn, definition=json.dumps(HANGING)
        )


def test_validation_says_what_is_wrong_and_where() -> None:
    states = mended().client("stepfunctions")

    found = states.validate_state_machine_definition(definition=json.dumps(HANGING))
    good = states.validate_state_machine_definition(definition=json.dumps(PASSING))

    assert (found["result"], good["result"]) == ("FAIL", "OK")
    assert found["diagnostics"] == [
        {
            "severity": "ERROR",
            "code": "MISSING_TRANSITION_TARGET",
            "message": 'Missing "Next" target: Nowhere',
            "location": "/States/P/Next",
        }
    ]


def test_sync_needs_the_managed_rule() -> None:
    server = mended()
    with pytest.raises(ClientError, match="is not authorized to create managed-rule"):
        create(server, SYNC)

    create(server, SYNC, allow("events:PutTargets", "events:PutRule", "events:DescribeRule"))


def test_tracing_is_read_back() -> None:
    server = mended()
    states = server.client("stepfunctions")
    traced, plain_machine = (
        create(server, PASSING, tracingConfiguration={"enabled": True}),
        create(server, PASSING),
    )

    def tracing(arn: str) -> bool:
        described = states.describe_state_machine(stateMachineArn=arn)
        return bool(described["tracingConfiguration"]["enabled"])

    created = tracing(traced), tracing(plain_machine)
    states.update_state_machine(stateMachineArn=traced, tracingConfiguration={"enabled": False})

    assert created == (True, False)
    assert tracing(traced) is False


CHOICE = {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsPresent": True, "Next": "P"}], "Default": "P"}


@pytest.mark.parametrize(
    ("definition", "messages"),
    [
        (PASSING, []),
        ({"StartAt": "C", "States": {"C": CHOICE, "P": {"Type": "Succeed"}}}, []),
        ({"StartAt": "X", "States": PASSING["States"]}, ['Missing "Next" target: X', "not reachable"]),
        ({"StartAt": "P", "States": {"P": {"Type": "Pass"}}}, ["Either Next or End"]),
        ({"StartAt": "P", "States": {"P": {"Type": "Paas", "End": True}}}, ["is not one of"]),
        ({"StartAt": "P", "States": {"P": {"Type": "Task", "End": True}}}, ["Resource must be an ARN"]),
        ({"StartAt": "P"}, ["States must be an object"]),
        (
            {"StartAt": "M", "States": {"M": {"Type": "Map", "End": True, "ItemProcessor": HANGING}}},
            ['Missing "Next" target: Nowhere'],
        ),
    ],
)
def test_problems(definition: dict[str, Any], messages: list[str]) -> None:
    found = problems_of(json.dumps(definition))

    assert len(found) == len(messages)
    for message in messages:
        assert any(message in problem.message for problem in found)
