"""All checks, in the order in which they are applied: what ends a server comes last."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pipeline.conformance import health, image, invocation, isolation, shutdown, training
from pipeline.conformance.check import Check
from pipeline.errors import UsageError

Part = Literal["all", "serving", "training"]

_SERVING = (*health.CHECKS, *invocation.CHECKS, *isolation.CHECKS, *shutdown.CHECKS)
_PARTS: dict[Part, tuple[Check, ...]] = {
    "all": (*image.CHECKS, *_SERVING, *training.CHECKS),
    "serving": (*image.CHECKS, *_SERVING),
    "training": (*image.CHECKS, *training.CHECKS),
}
CHECKS = _PARTS["all"]


def choose_checks(
    *, part: Part = "all", only: Collection[str] = (), skip: Collection[str] = ()
) -> tuple[Check, ...]:
    """The checks of a part, or those of `only`, without those of `skip`.

    Raises: UsageError for an id that is none, and if no check is left.
    """
    unknown = sorted({*only, *skip} - {check.id for check in CHECKS})
    if unknown:
        known = ", ".join(check.id for check in CHECKS)
        raise UsageError(f"There is no check {', '.join(unknown)}. The checks are: {known}.")
    chosen = tuple(c for c in _PARTS[part] if (not only or c.id in only) and c.id not in skip)
    if not chosen:
        raise UsageError(f"No check is left by --part {part}, --only {_list(only)} and --skip {_list(skip)}.")
    return chosen


def _list(ids: Collection[str]) -> str:
    return ", ".join(sorted(ids)) or "(none)"
