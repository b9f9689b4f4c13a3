"""The steps of a deployment configuration."""

from __future__ import annotations

from typing import Any

import pytest

from localaws.errors import ValidationError
from localaws.sagemaker.traffic import AT_ONCE, Shift, plan_rollout


def blue_green(routing: dict[str, Any], **policy: Any) -> dict[str, Any]:
    traffic = {"WaitIntervalInSeconds": 60, **routing}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, **policy}}


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def test_no_configuration_moves_all_traffic_at_once() -> None:
    assert plan_rollout(None, instances=1) == AT_ONCE


def test_canary_goes_from_its_share_to_all() -> None:
    config = blue_green({"Type": "CANARY", "CanarySize": percent(10)}, TerminationWaitInSeconds=5)

    rollout = plan_rollout(config, instances=10)

    assert rollout.shifts == (Shift(0.1, 60), Shift(1.0, 60))
    assert rollout.termination_wait_s == 5


@pytest.mark.parametrize(
    ("size", "shares"),
    [
        (percent(50), [0.5, 1.0]),
        (percent(30), [0.3, 0.6, 0.9, 1.0]),
        ({"Type": "INSTANCE_COUNT", "Value": 1}, [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_linear_steps_end_at_all(size: dict[str, Any], shares: list[float]) -> None:
    rollout = plan_rollout(blue_green({"Type": "LINEAR", "LinearStepSize": size}), instances=4)

    assert [shift.share for shift in rollout.shifts] == shares


def test_rolling_update_moves_by_batches() -> None:
    config = {"RollingUpdatePolicy": {"MaximumBatchSize": percent(50), "WaitIntervalInSeconds": 0}}

    assert [shift.share for shift in plan_rollout(config, instances=2).shifts] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("config", "instances", "words"),
    [
        (blue_green({"Type": "CANARY", "CanarySize": percent(10)}), 1, "at least two instances"),
        (blue_green({"Type": "CANARY", "CanarySize": percent(60)}), 4, "at most 50%"),
        (blue_green({"Type": "CANARY"}), 4, "CanarySize is required"),
        (blue_green({"Type": "LINEAR", "LinearStepSize": percent(5)}), 4, "10% to 50%"),
        (
            blue_green(
                {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 900}, MaximumExecutionTimeoutInSeconds=600
            ),
            1,
            "shorter than the deployment's own waits",
        ),
    ],
)
def test_what_sagemaker_refuses_is_refused(config: dict[str, Any], instances: int, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        plan_rollout(config, instances=instances)
