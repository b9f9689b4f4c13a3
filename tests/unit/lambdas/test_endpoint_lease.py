"""One release at a time per endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from lambda_fakes import FakeDynamoDB, FakeStepFunctions, client_error

from pipeline.errors import EndpointBusyError, LeaseLostError
from pipeline.lease import FencedEndpoints, Lease, lease_key, retake_lease, take_lease
from pipeline.runs_table import RunsTable


@pytest.fixture
def dynamodb() -> FakeDynamoDB:
    return FakeDynamoDB()


@pytest.fixture
def stepfunctions() -> FakeStepFunctions:
    return FakeStepFunctions()


def take(holder: str, dynamodb: Any, stepfunctions: Any, *, name: str = "endpoint") -> Lease:
    return take_lease(name, holder=holder, table="runs", dynamodb=dynamodb, stepfunctions=stepfunctions)


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


def test_the_lease_of_a_release_that_is_forgotten_is_free(dynamodb: FakeDynamoDB) -> None:
    class Forgetful(FakeStepFunctions):
        def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803
            raise client_error("ExecutionDoesNotExist", executionArn)

    take("release-1", dynamodb, FakeStepFunctions())

    assert take("release-2", dynamodb, Forgetful()).holder == "release-2"


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


class Endpoints:
    """A SageMaker client that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **_request: self.asked.append(name)


CHANGES = (
    *("create_endpoint", "update_endpoint", "delete_endpoint", "add_tags", "create_endpoint_config"),
    *("create_model", "delete_endpoint_config", "delete_model", "deregister_scalable_target"),
)


@pytest.mark.parametrize("change", CHANGES)
def test_who_was_taken_over_is_refused_at_the_write(
    change: str, dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    endpoints = Endpoints()
    stale = FencedEndpoints(endpoints, take("release-1", dynamodb, stepfunctions))
    stepfunctions.executions["release-1"] = "ABORTED"
    fresh = FencedEndpoints(endpoints, take("release-2", dynamodb, stepfunctions))

    with pytest.raises(
        LeaseLostError, match=r"taken over by release-2 \(token 2\): the token 1 of release-1"
    ):
        getattr(stale, change)(EndpointName="endpoint")
    getattr(fresh, change)(EndpointName="endpoint")
    stale.describe_endpoint(EndpointName="endpoint")

    assert endpoints.asked == [change, "describe_endpoint"]


def test_a_change_that_was_looked_up_in_time_and_called_too_late_is_refused(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    endpoints = Endpoints()
    update = FencedEndpoints(endpoints, take("release-1", dynamodb, stepfunctions)).update_endpoint
    stepfunctions.executions["release-1"] = "TIMED_OUT"
    take("release-2", dynamodb, stepfunctions)

    with pytest.raises(LeaseLostError):
        update(EndpointName="endpoint")
    assert endpoints.asked == []


def test_of_two_attempts_of_one_release_the_later_one_counts(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    first = take("release-1", dynamodb, stepfunctions)
    second = take("release-1", dynamodb, stepfunctions)

    second.confirm()
    with pytest.raises(LeaseLostError):
        first.confirm()
    assert (first.token, second.token) == (1, 2)


def test_a_token_is_never_given_twice(dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions) -> None:
    tokens = []
    for number in range(5):
        tokens.append(take(f"release-{number}", dynamodb, stepfunctions).token)
        stepfunctions.executions[f"release-{number}"] = "SUCCEEDED"

    assert tokens == [1, 2, 3, 4, 5]


def test_a_rollback_goes_on_under_a_token_of_its_own(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    deploying = take("release-1", dynamodb, stepfunctions)

    rolling_back = retake_lease("endpoint", holder="release-1", table="runs", dynamodb=dynamodb)

    assert rolling_back
    rolling_back.confirm()
    with pytest.raises(LeaseLostError):
        deploying.confirm()


def test_who_never_had_the_lease_has_nothing_to_roll_back(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    assert retake_lease("endpoint", holder="release-1", table="runs", dynamodb=dynamodb) is None
    take("release-2", dynamodb, stepfunctions)

    assert retake_lease("endpoint", holder="release-1", table="runs", dynamodb=dynamodb) is None


def test_a_lease_from_before_there_were_tokens_is_taken_over(
    dynamodb: FakeDynamoDB, stepfunctions: FakeStepFunctions
) -> None:
    dynamodb.items[lease_key("endpoint")] = {"run_id": {"S": lease_key("endpoint")}, "holder": {"S": "old"}}
    stepfunctions.executions["old"] = "SUCCEEDED"

    assert take("release-1", dynamodb, stepfunctions).token == 1
