"""How an update moves traffic to a new fleet: the steps of a deployment configuration, as data.

Source: Amazon SageMaker developer guide, "Deployment guardrails"; API reference, DeploymentConfig.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from localaws.errors import ValidationError
from localaws.schema import Members

DEFAULT_TIMEOUT_S = 28_800


@dataclass(frozen=True)
class Shift:
    """Puts `share` (0 to 1) of the traffic on the new fleet, then waits and watches the alarms."""

    share: float
    wait_s: float


@dataclass(frozen=True)
class Rollout:
    """A whole update."""

    shifts: tuple[Shift, ...]
    termination_wait_s: float
    timeout_s: float
    alarms: tuple[str, ...]


AT_ONCE = Rollout((Shift(1.0, 0.0),), 0.0, DEFAULT_TIMEOUT_S, ())


def plan_rollout(config: Members | None, *, instances: int) -> Rollout:
    """The steps that a DeploymentConfig asks for on a fleet of `instances`.

    Raises: ValidationError for what SageMaker refuses: a canary of one instance or of more than half, linear
    steps outside 10 to 50 %, waits that exceed the time limit.
    """
    if not config:
        return AT_ONCE
    alarms = tuple(
        alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    )
    if "RollingUpdatePolicy" in config:
        return _checked(_rolling(config["RollingUpdatePolicy"], instances=instances, alarms=alarms))
    if "BlueGreenUpdatePolicy" not in config:
        return Rollout(AT_ONCE.shifts, 0.0, DEFAULT_TIMEOUT_S, alarms)
    policy = config["BlueGreenUpdatePolicy"]
    routing = policy["TrafficRoutingConfiguration"]
    return _checked(
        Rollout(
            _shifts(routing, instances=instances),
            policy.get("TerminationWaitInSeconds", 0),
            policy.get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT_S),
            alarms,
        )
    )


def _shifts(routing: Members, *, instances: int) -> tuple[Shift, ...]:
    wait_s = routing["WaitIntervalInSeconds"]
    if routing["Type"] == "ALL_AT_ONCE":
        return (Shift(1.0, wait_s),)
    if routing["Type"] == "CANARY":
        share = _share(routing, "CanarySize", instances=instances)
        if instances < 2:
            raise ValidationError("A canary needs a fleet of at least two instances.")
        if share > 0.5:
            raise ValidationError("CanarySize must be at most 50% of the fleet's capacity.")
        return (Shift(share, wait_s), Shift(1.0, wait_s))
    step = _share(routing, "LinearStepSize", instances=instances)
    if not 0.1 <= step <= 0.5:
        raise ValidationError("LinearStepSize must be 10% to 50% of the fleet's capacity.")
    return _steps(step, wait_s)


def _rolling(policy: Members, *, instances: int, alarms: tuple[str, ...]) -> Rollout:
    step = _share(policy, "MaximumBatchSize", instances=instances)
    return Rollout(
        _steps(min(step, 1.0), policy["WaitIntervalInSeconds"]),
        0,
        policy.get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT_S),
        alarms,
    )


def _steps(step: float, wait_s: float) -> tuple[Shift, ...]:
    count = math.ceil(round(1 / step, 6))
    return tuple(Shift(min(1.0, round(step * number, 6)), wait_s) for number in range(1, count + 1))


def _share(policy: Members, member: str, *, instances: int) -> float:
    size = policy.get(member)
    if size is None:
        raise ValidationError(f"{member} is required for this traffic routing type.")
    whole = 100 if size["Type"] == "CAPACITY_PERCENT" else instances
    return float(size["Value"]) / whole


def _checked(rollout: Rollout) -> Rollout:
    waits_s = sum(shift.wait_s for shift in rollout.shifts) + rollout.termination_wait_s
    if waits_s > rollout.timeout_s:
        raise ValidationError(
            f"MaximumExecutionTimeoutInSeconds {rollout.timeout_s} is shorter than the deployment's own "
            f"waits, {waits_s} s."
        )
    return rollout
