"""What outlived its time outside production goes, endpoints first; what is in use stays."""

# The arguments bear AWS's names, and AWS has some that a stand-in needs no use of.
# ruff: noqa: N803, ARG002

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import jmespath
import pytest
from lambda_fakes import FakeSageMaker

from pipeline.endpoints import find_users
from pipeline.errors import UsageError
from pipeline.lambdas.expire import Removed, check_environment, expire

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(hours=100), NOW - timedelta(hours=1)
BEFORE = NOW - timedelta(hours=72)


class Pages:
    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def paginate(self, **_: Any) -> Pages:
        return self

    def search(self, expression: str) -> Any:
        return iter(jmespath.search(expression, self._page))


class ListingSageMaker(FakeSageMaker):
    """With times, and lists of what is there."""

    def get_paginator(self, operation: str) -> Pages:
        stores = {"endpoints": self.endpoints, "endpoint_configs": self.configs, "models": self.models}
        kind = operation.removeprefix("list_")
        member = re.sub("(?:^|_)(.)", lambda match: match[1].upper(), kind)
        return Pages({member: list(stores[kind].values())})

    def serve(self, name: str, *, at: datetime, config: str, previous: str | None = None) -> None:
        """An endpoint in service whose configuration and model bear one name."""
        self.add(config, at=at, previous=previous)
        self.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.endpoints[name] |= {
            "LastModifiedTime": at,
            "ProductionVariants": [{"VariantName": "primary"}],
            "EndpointStatus": "InService",
        }

    def add(self, name: str, *, at: datetime, previous: str | None = None) -> None:
        tags = [{"Key": "Previous", "Value": previous}] if previous else []
        self.create_model(ModelName=name, CreationTime=at)
        self.create_endpoint_config(
            EndpointConfigName=name, CreationTime=at, Tags=tags, ProductionVariants=[{"ModelName": name}]
        )


class FakeScaling:
    def __init__(self) -> None:
        self.targets = {"endpoint/mlops-staging-iris/variant/primary"}

    def describe_scalable_targets(self, *, ServiceNamespace: str, ResourceIds: list[str]) -> dict[str, Any]:
        return {"ScalableTargets": [{"ResourceId": name} for name in ResourceIds if name in self.targets]}

    def deregister_scalable_target(self, *, ResourceId: str, **_: str) -> None:
        self.targets.remove(ResourceId)


def run(sagemaker: ListingSageMaker, scaling: FakeScaling | None = None) -> list[Removed]:
    scaling = scaling or FakeScaling()
    return list(expire("mlops-staging-", before=BEFORE, sagemaker=sagemaker, scaling=scaling))


def test_an_old_endpoint_goes_first_and_what_it_used_when_it_is_gone() -> None:
    sagemaker, scaling = ListingSageMaker(), FakeScaling()
    sagemaker.serve("mlops-staging-iris", at=OLD, config="mlops-staging-iris-1")

    first, second = run(sagemaker, scaling), run(sagemaker, scaling)

    assert first == [
        Removed("scaling target", "endpoint/mlops-staging-iris/variant/primary"),
        Removed("endpoint", "mlops-staging-iris"),
    ]
    assert second == [
        Removed("endpoint configuration", "mlops-staging-iris-1"),
        Removed("model", "mlops-staging-iris-1"),
    ]
    assert (sagemaker.endpoints, sagemaker.configs, sagemaker.models, scaling.targets) == ({}, {}, {}, set())


def test_a_living_endpoint_keeps_its_configuration_and_its_way_back_however_old() -> None:
    sagemaker = ListingSageMaker()
    sagemaker.add("mlops-staging-iris-0", at=OLD)
    sagemaker.serve(
        "mlops-staging-iris", at=OLD, config="mlops-staging-iris-1", previous="mlops-staging-iris-0"
    )
    sagemaker.endpoints["mlops-staging-iris"]["LastModifiedTime"] = YOUNG

    assert run(sagemaker) == []


def test_an_endpoint_on_its_way_keeps_what_it_goes_to() -> None:
    sagemaker = ListingSageMaker()
    sagemaker.serve("mlops-staging-iris", at=OLD, config="mlops-staging-iris-1")
    sagemaker.add("mlops-staging-iris-2", at=OLD)
    sagemaker.update_endpoint(EndpointName="mlops-staging-iris", EndpointConfigName="mlops-staging-iris-2")

    assert run(sagemaker) == []
    assert find_users(sagemaker, "mlops-staging-iris-2", prefix="mlops-") == ["mlops-staging-iris"]


def test_another_environments_resources_are_left_alone() -> None:
    sagemaker = ListingSageMaker()
    sagemaker.serve("mlops-production-iris", at=OLD, config="mlops-production-iris-1")

    assert run(sagemaker) == []


def test_production_is_refused_whatever_the_schedule_says() -> None:
    with pytest.raises(UsageError, match="Nothing in production expires"):
        check_environment("production")
    check_environment("staging")
