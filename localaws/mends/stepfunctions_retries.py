"""Step Functions: retries are jittered and capped, and two errors are beyond States.ALL.

AWS: a retrier's delay is IntervalSeconds times BackoffRate for each attempt, at most MaxDelaySeconds, and
    with JitterStrategy FULL a random part of it. States.Runtime is never retried or caught, and
    States.DataLimitExceeded only by its name ["Handling errors in Step Functions workflows"].
ministack: ignores MaxDelaySeconds and JitterStrategy; States.ALL matches everything. Its own cap of 60 s
    per delay stays.
Hook: `services/stepfunctions.py::_find_matching_retrier`, `::_error_matches`.
"""

from __future__ import annotations

import random
from typing import Any

from ministack.services import stepfunctions

VERSION = "1.5.33"


def apply() -> None:
    """Makes retries wait as the retrier says."""
    find, matches = stepfunctions._find_matching_retrier, stepfunctions._error_matches

    def find_matching_retrier(retriers: list[dict[str, Any]], error: str, counts: dict[int, int]) -> Any:
        retrier, index = find(retriers, error, counts)
        if retrier is None:
            return retrier, index
        # ministack multiplies IntervalSeconds by BackoffRate itself: the delay is given to it ready-made.
        return {
            **retrier,
            "IntervalSeconds": delay_s(retrier, counts.get(index, 0)),
            "BackoffRate": 1.0,
        }, index

    def error_matches(names: list[str], error: str) -> bool:
        if error == "States.Runtime":
            return False
        if error == "States.DataLimitExceeded":
            return error in names
        return bool(matches(names, error))

    stepfunctions._find_matching_retrier = find_matching_retrier
    stepfunctions._error_matches = error_matches


def delay_s(retrier: dict[str, Any], attempts: int) -> float:
    """How long to wait before the next attempt."""
    delay: float = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** attempts
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay  # noqa: S311
