"""The lease of an endpoint on a real table: of ten at once one wins, and a stale token changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lambda_fakes import FakeStepFunctions
from local_aws import LocalAws

from pipeline.errors import EndpointBusyError, LeaseLostError
from pipeline.lease import FencedEndpoints, Lease, take_lease

RELEASES = [f"release-{number}" for number in range(10)]


class Endpoints:
    """SageMaker, as far as it is changed here."""

    def __init__(self) -> None:
        self.updates: list[str] = []

    def update_endpoint(self, *, EndpointName: str, EndpointConfigName: str) -> None:  # noqa: N803, ARG002
        self.updates.append(EndpointConfigName)


@pytest.fixture(scope="module")
def table(aws: LocalAws) -> str:
    name = "test-leases"
    aws.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
    )
    return name


def take_at_once(aws: LocalAws, table: str, endpoint: str, states: FakeStepFunctions) -> dict[str, Any]:
    """What each of ten releases got: the lease, or the words with which it was refused."""

    def take(holder: str) -> Lease | str:
        try:
            return take_lease(
                endpoint, holder=holder, table=table, dynamodb=aws.client("dynamodb"), stepfunctions=states
            )
        except EndpointBusyError as error:
            return str(error)

    with ThreadPoolExecutor(len(RELEASES)) as pool:
        return dict(zip(RELEASES, pool.map(take, RELEASES), strict=True))


def pick_winner(answers: dict[str, Any]) -> Lease:
    (winner,) = (answer for answer in answers.values() if isinstance(answer, Lease))
    return winner


def test_of_ten_at_once_one_wins_and_the_others_say_who(aws: LocalAws, table: str) -> None:
    answers = take_at_once(aws, table, "free", FakeStepFunctions())

    winner = pick_winner(answers)
    refused = [answer for answer in answers.values() if isinstance(answer, str)]
    assert winner.token == 1
    assert len(refused) == 9
    assert all(f"is being released to by {winner.holder};" in words for words in refused)


def test_of_ten_that_find_the_holder_gone_one_takes_over_and_the_old_token_changes_nothing(
    aws: LocalAws, table: str
) -> None:
    states, endpoints = FakeStepFunctions(), Endpoints()
    dynamodb = aws.client("dynamodb")
    old = take_lease("left", holder="old", table=table, dynamodb=dynamodb, stepfunctions=states)
    states.executions["old"] = "ABORTED"

    new = pick_winner(take_at_once(aws, table, "left", states))
    FencedEndpoints(endpoints, new).update_endpoint(EndpointName="left", EndpointConfigName="new")
    with pytest.raises(LeaseLostError, match=f"taken over by {new.holder} .token 2.: the token 1 of old is"):
        FencedEndpoints(endpoints, old).update_endpoint(EndpointName="left", EndpointConfigName="old")

    assert endpoints.updates == ["new"]
