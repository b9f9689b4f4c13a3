"""Each step of a release, dead after each of its calls and then run again, leaves what one call leaves."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest
from lambda_fakes import FakeAutoscaling, FakeDynamoDB, FakeKms, FakeS3, FakeSageMaker
from release_samples import RELEASE, SERVING
from test_release_steps import World

from pipeline.lambdas.deploy import deploy
from pipeline.lambdas.edge import Settings
from pipeline.lambdas.rollback import rollback
from pipeline.lambdas.scale import scale
from pipeline.release import Autoscaling
from pipeline.runs_table import RunsTable

MOST_CALLS = 40
BOUNDS = Autoscaling(
    min_instances=1,
    max_instances=3,
    invocations_per_instance=100,
    scale_in_cooldown_s=300,
    scale_out_cooldown_s=60,
)
SCALING = replace(SERVING, autoscaling=BOUNDS)
EARLIER = replace(RELEASE, model_name="earlier", endpoint_config_name="earlier")


class DeathError(BaseException):
    """The function's process is gone: nothing in it may catch this."""


class Mortal:
    """A service after whose n-th answer, of all that share the count, the process is gone."""

    def __init__(self, service: Any, count: Iterator[int], calls: int) -> None:
        self._service, self._count, self._calls = service, count, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._service, name)

        def call(*arguments: Any, **options: Any) -> Any:
            answer = method(*arguments, **options)
            if next(self._count) == self._calls:
                raise DeathError(name)
            return answer

        return call


@dataclass
class Place:
    """All that a release touches."""

    world: World
    sagemaker: FakeSageMaker
    dynamodb: FakeDynamoDB
    autoscaling: Any
    settings: Settings

    def dying(self, calls: int) -> Place:
        """The same, as seen by a function that dies after so many calls."""
        count = itertools.count(1)
        world = copy.copy(self.world)
        for name in ("s3", "kms", "sagemaker", "stepfunctions"):
            setattr(world, name, Mortal(getattr(world, name), count, calls))
        world.runs = RunsTable("runs", dynamodb=Mortal(self.dynamodb, count, calls))
        return replace(self, world=world, autoscaling=Mortal(self.autoscaling, count, calls))

    def found(self) -> str:
        world = self.world
        # A signature is never the same twice; in the ledger's bucket it counts which records there are.
        stored = {
            "/".join(key): len(versions) if key[0] == "ledger" else versions[-1]
            for key, versions in world.s3.objects.items()
        }
        made = [getattr(world.sagemaker, name) for name in ("models", "configs", "endpoints", "tags")]
        scaling = [self.autoscaling.targets, self.autoscaling.policies]
        facts = [stored, made, scaling, self.dynamodb.items, world.stepfunctions.answers]
        return json.dumps(facts, sort_keys=True, default=str)


def act_deploy(place: Place) -> None:
    deploy(RELEASE, serving=SERVING, sagemaker=place.world.sagemaker, autoscaling=place.autoscaling)


def act_rollback(place: Place) -> None:
    """As the machine does it: again, until all is settled; meanwhile SageMaker finishes what it is at."""
    while not rollback(RELEASE, serving=SERVING, sagemaker=place.world.sagemaker)["settled"]:
        if RELEASE.endpoint_name in place.sagemaker.endpoints:
            place.sagemaker.finish(RELEASE.endpoint_name)


def act_scale(place: Place) -> None:
    scale(RELEASE, serving=SCALING, sagemaker=place.world.sagemaker, autoscaling=place.autoscaling)


def act_authorise(place: Place) -> None:
    place.world.authorise(place.settings)


def act_answer(place: Place) -> None:
    place.world.answer(place.settings, "Approved")


def nothing(place: Place) -> None:
    """No endpoint yet."""


def one_in_service(place: Place) -> None:
    """An earlier release serves, and has not scaled yet."""
    sagemaker = place.world.sagemaker
    deploy(EARLIER, serving=SERVING, sagemaker=sagemaker, autoscaling=place.autoscaling)
    sagemaker.finish(RELEASE.endpoint_name)
    sagemaker.endpoints[RELEASE.endpoint_name]["ProductionVariants"] = [
        {"VariantName": "main", "CurrentInstanceCount": 2, "DesiredInstanceCount": 2}
    ]


def one_serves(place: Place) -> None:
    """An earlier release serves and scales."""
    one_in_service(place)
    act_scale(place)


def one_failed(place: Place) -> None:
    """What an earlier release made failed."""
    deploy(EARLIER, serving=SERVING, sagemaker=place.world.sagemaker, autoscaling=place.autoscaling)
    place.world.sagemaker.finish(RELEASE.endpoint_name, "Failed")


def first_in_service(place: Place) -> None:
    act_deploy(place)
    place.world.sagemaker.finish(RELEASE.endpoint_name)


def second_in_service(place: Place) -> None:
    one_serves(place)
    first_in_service(place)


STORIES: dict[str, tuple[Callable[[Place], None], Callable[[Place], None]]] = {
    "authorise": (nothing, act_authorise),
    "answer the gate": (nothing, act_answer),
    "deploy the first": (nothing, act_deploy),
    "deploy the next": (one_serves, act_deploy),
    "deploy after a failure": (one_failed, act_deploy),
    "roll the first back": (first_in_service, act_rollback),
    "roll the next back": (second_in_service, act_rollback),
    "scale": (one_in_service, act_scale),
}


def make_place(settings: Settings, now: datetime, prepare: Callable[[Place], None]) -> Place:
    dynamodb = FakeDynamoDB()
    runs = RunsTable("runs", dynamodb=dynamodb)
    world = World(FakeS3(), FakeKms(), FakeSageMaker(), runs, now)
    world.approve()
    place = Place(world, world.sagemaker, dynamodb, FakeAutoscaling(), settings)
    prepare(place)
    return place


@pytest.mark.parametrize("name", STORIES)
def test_a_step_that_dies_after_any_call_and_runs_again_leaves_what_one_call_leaves(
    name: str, production: Settings, now: datetime
) -> None:
    prepare, act = STORIES[name]
    quiet = make_place(production, now, prepare)
    before = quiet.found()
    act(quiet)
    died = 0

    assert quiet.found() != before
    for calls in range(1, MOST_CALLS):
        place = make_place(production, now, prepare)
        try:
            act(place.dying(calls))
            break
        except DeathError:
            died += 1
        act(place)

        assert place.found() == quiet.found(), f"dead after call {calls}"
    assert 0 < died < MOST_CALLS - 1
