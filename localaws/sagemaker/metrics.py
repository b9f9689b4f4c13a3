"""What SageMaker publishes about an endpoint's requests, in batches.

Source: Amazon SageMaker developer guide, "Monitor Amazon SageMaker AI with Amazon CloudWatch".
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.mends.role_sessions import endpoint_url
from localaws.sdk import create_client
from localaws.store import Scope

logger = logging.getLogger(__name__)

NAMESPACE = "AWS/SageMaker"
INTERVAL_S = 1.0
MAX_DATA = 500
UNITS = {
    "Invocations": "None",
    "InvocationsPerInstance": "None",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "InvocationModelErrors": "None",
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
}


@functools.cache
def root_client(service: str, region: str) -> Any:
    """A client for what SageMaker itself does, not its user's role."""
    return create_client(
        service,
        region_name=region,
        endpoint_url=endpoint_url(),
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )


@dataclass(frozen=True)
class Invocation:
    """One answered request."""

    endpoint: str
    variant: str
    instance_count: int
    status: int
    model_latency_s: float
    overhead_s: float


def metric_data(invocations: list[Invocation]) -> list[dict[str, Any]]:
    """The data points of requests that came within one interval, one per variant and metric."""
    by_variant: dict[tuple[str, str], list[Invocation]] = defaultdict(list)
    for invocation in invocations:
        by_variant[invocation.endpoint, invocation.variant].append(invocation)
    return [
        _datum(endpoint, variant, metric, [_values(found)[metric] for found in group])
        for (endpoint, variant), group in by_variant.items()
        for metric in UNITS
    ]


def _values(invocation: Invocation) -> dict[str, float]:
    status = invocation.status
    return {
        "Invocations": 1.0,
        "InvocationsPerInstance": 1.0 / max(1, invocation.instance_count),
        "Invocation4XXErrors": float(400 <= status < 500),
        "Invocation5XXErrors": float(status == 0 or status >= 500),
        "InvocationModelErrors": float(not 200 <= status < 300),
        "ModelLatency": invocation.model_latency_s * 1e6,
        "OverheadLatency": invocation.overhead_s * 1e6,
    }


def _datum(endpoint: str, variant: str, metric: str, values: list[float]) -> dict[str, Any]:
    # Two significant digits keep the distinct values of an interval few, and percentiles close.
    counts = Counter(float(f"{value:.2g}") for value in values)
    return {
        "MetricName": metric,
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ],
        "Timestamp": time.time(),
        "Values": list(counts),
        "Counts": [float(count) for count in counts.values()],
        "Unit": UNITS[metric],
    }


class Metrics:
    """Collects invocations and publishes them every second, from one thread."""

    def __init__(self) -> None:
        self._invocations: deque[tuple[Scope, Invocation]] = deque()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None
        self._done = threading.Event()

    def add(self, scope: Scope, invocation: Invocation) -> None:
        self._invocations.append((scope, invocation))
        with self._started:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="endpoint-metrics", daemon=True)
                self._thread.start()

    def shut_down(self) -> None:
        self._done.set()

    def _loop(self) -> None:
        while not self._done.wait(INTERVAL_S):
            self._publish()

    def _publish(self) -> None:
        by_scope: dict[Scope, list[Invocation]] = defaultdict(list)
        while self._invocations:
            scope, invocation = self._invocations.popleft()
            by_scope[scope].append(invocation)
        for scope, invocations in by_scope.items():
            points = metric_data(invocations)
            for start in range(0, len(points), MAX_DATA):
                self._put(scope, points[start : start + MAX_DATA])

    def _put(self, scope: Scope, points: list[dict[str, Any]]) -> None:
        try:
            root_client("cloudwatch", scope.region).put_metric_data(Namespace=NAMESPACE, MetricData=points)
        except (ClientError, BotoCoreError) as error:
            # Requests go on without metrics, as they would on AWS; the server's log says so.
            logger.warning("endpoint metrics of %s are lost: %s", time.ctime(), error)


def alarms_in_alarm(names: tuple[str, ...], region: str) -> list[str]:
    """The alarms among `names` that are in ALARM. Raises: LookupError for names without an alarm."""
    if not names:
        return []
    answer = root_client("cloudwatch", region).describe_alarms(
        AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    alarms = [*answer["MetricAlarms"], *answer["CompositeAlarms"]]
    missing = set(names) - {alarm["AlarmName"] for alarm in alarms}
    if missing:
        raise LookupError(f"Alarms do not exist: {', '.join(sorted(missing))}")
    return [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]
