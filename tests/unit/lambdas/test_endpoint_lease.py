"""One release at a time per endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from lambda_fakes import FakeDynamoDB, FakeStepFunctions

from pipeline.errors import EndpointBusyError
from pipeline.lease import lease_key, take_lease
from pipeline.runs_table import RunsTable


@pytest.fixture
def dynamodb() -> FakeDynamoDB:
    return FakeDynamoDB()


@pytest.fixture
def stepfunctions() -> FakeStepFunctions:
    return FakeStepFunctions()


def take(holder: str, dynamodb: Any, stepfunctions: Any, *, name: str = "endpoint") -> None:
    take_lease(name, holder=holder, table="runs", dynamodb=dynamodb, stepfunctions=stepfunctions)


def test_of_ten_releases_one_wins_and_the_others_say_who_holds_it(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    take("release-0", dynamodb, stepfunctions)

    for number in range(1, 10):
        with pytest.raises(EndpointBusyError, match="endpoint is being released to by release-0"):
            take(f"release-{number}", dynamodb, stepfunctions)


def test_the_holder_may_ask_again(dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions) -> None:
    for _ in range(2):
        take("release-1", dynamodb, stepfunctions)


def test_another_endpoint_has_another_lease(dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions) -> None:
    take("release-1", dynamodb, stepfunctions)
    take("release-2", dynamodb, stepfunctions, name="other")


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"])
def test_the_lease_of_an_ended_release_is_free_however_it_ended(
    status: str, dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    take("release-1", dynamodb, stepfunctions)
    stepfunctions.executions["release-1"] = status

    take("release-2", dynamodb, stepfunctions)

    with pytest.raises(EndpointBusyError, match="by release-2"):
        take("release-3", dynamodb, stepfunctions)


def test_of_two_that_find_the_holder_gone_one_wins(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    take("release-1", dynamodb, stepfunctions)

    class Racing(FakeStepFunctions):
        def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803, ARG002
            dynamodb.items[lease_key("endpoint")]["holder"] = {"S": "release-2"}
            return {"status": "SUCCEEDED"}

    with pytest.raises(EndpointBusyError):
        take("release-3", dynamodb, Racing())

    assert dynamodb.items[lease_key("endpoint")]["holder"] == {"S": "release-2"}


def test_a_lease_is_not_a_run(dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions) -> None:
    take("release-1", dynamodb, stepfunctions)

    assert RunsTable("runs", dynamodb=dynamodb).all() == []
