"""Retries are jittered and capped, and two errors are beyond States.ALL."""

from __future__ import annotations

import time
from typing import Any

import pytest
from mend_servers import Server, allow, mended, plain, task

from localaws.mends.stepfunctions_retries import delay_s

ALL = ["States.ALL"]


def retry_s(server: Server) -> float:
    """How long three attempts with a cap of one second between them take."""
    retry = [
        {"ErrorEquals": ALL, "IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 2, "MaxDelaySeconds": 1}
    ]
    definition = task("arn:aws:states:::lambda:invoke", {"FunctionName": "none", "Payload": {}}, Retry=retry)
    role = server.role("states", allow("lambda:InvokeFunction"))
    started = time.monotonic()
    assert server.execute(definition, role=role)["status"] == "FAILED"
    return time.monotonic() - started


def test_ministack_still_ignores_the_cap() -> None:
    assert retry_s(plain()) > 5.5


def test_the_cap_is_kept() -> None:
    assert 2 <= retry_s(mended()) < 5


@pytest.mark.parametrize(
    ("retrier", "attempts", "low", "high"),
    [
        ({}, 0, 1, 1),
        ({"IntervalSeconds": 3, "BackoffRate": 2}, 2, 12, 12),
        ({"IntervalSeconds": 3, "BackoffRate": 2, "MaxDelaySeconds": 5}, 2, 5, 5),
        ({"IntervalSeconds": 8, "JitterStrategy": "FULL"}, 0, 0, 8),
        ({"IntervalSeconds": 8, "JitterStrategy": "NONE"}, 0, 8, 8),
    ],
)
def test_delay(retrier: dict[str, Any], attempts: int, low: float, high: float) -> None:
    assert low <= delay_s(retrier, attempts) <= high


def test_a_runtime_error_is_not_caught() -> None:
    server = mended()
    definition = task(
        "arn:aws:states:::aws-sdk:s3:noSuchAction", {}, Catch=[{"ErrorEquals": ALL, "Next": "Caught"}]
    )
    definition["States"]["Caught"] = {"Type": "Pass", "End": True}

    ended = server.execute(definition, role=server.role("states"))

    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
