"""What SageMaker tells EventBridge when the state of something changes.

Source: Amazon SageMaker developer guide, "Events that SageMaker AI sends to Amazon EventBridge". Times are
epoch milliseconds there, except in a model package's event, where they are ISO 8601.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import eventbridge

from localaws.sagemaker.kinds import (
    ENDPOINT,
    MODEL_PACKAGE,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    Kind,
)
from localaws.schema import Members
from localaws.store import Scope, Store

logger = logging.getLogger(__name__)

DETAIL_TYPES = {
    TRAINING_JOB.name: "SageMaker Training Job State Change",
    PROCESSING_JOB.name: "SageMaker Processing Job State Change",
    TRANSFORM_JOB.name: "SageMaker Transform Job State Change",
    ENDPOINT.name: "SageMaker Endpoint State Change",
    MODEL_PACKAGE.name: "SageMaker Model Package State Change",
}
_ENDPOINT_STATUSES = {
    "InService": "IN_SERVICE",
    "OutOfService": "OUT_OF_SERVICE",
    "RollingBack": "ROLLING_BACK",
    "SystemUpdating": "SYSTEM_UPDATING",
    "UpdateRollbackFailed": "UPDATE_ROLLBACK_FAILED",
}


class StateChanges:
    """Publishes state changes, in order, away from the thread that makes them."""

    def __init__(self, store: Store):
        self._store = store
        # One thread: a consumer sees changes in the order they happened.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="state-changes")

    def publish(self, kind: Kind, scope: Scope, members: Members) -> None:
        """Sends the event of a resource's present state."""
        arn = members[kind.arn_key]
        detail = state_change_detail(kind, members, tags=dict(self._store.tags(scope, arn) or {}))
        entry = {
            "Source": "aws.sagemaker",
            "DetailType": DETAIL_TYPES[kind.name],
            "Resources": [arn],
            "Detail": json.dumps(detail),
        }
        self._sender.submit(_put, scope, entry)


def _put(scope: Scope, entry: Members) -> None:
    try:
        with request_scope(scope.account_id, scope.region):
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    except Exception:
        # Nobody waits for this thread's result.
        logger.exception("the event of %s is lost", entry["Resources"])


def state_change_detail(kind: Kind, members: Members, *, tags: dict[str, str]) -> Members:
    """The `detail` of a state-change event."""
    detail = {name: value for name, value in dict(members).items() if not name.startswith("_")}
    if kind is MODEL_PACKAGE:
        return dict(_times_as(detail, _iso))
    detail["Tags"] = tags
    if kind is ENDPOINT:
        status = detail["EndpointStatus"]
        detail["EndpointStatus"] = _ENDPOINT_STATUSES.get(status, status.upper())
    return dict(_times_as(detail, lambda seconds: round(seconds * 1000)))


def _times_as(value: Any, convert: Callable[[float], object]) -> Any:
    if isinstance(value, list):
        return [_times_as(item, convert) for item in list(value)]
    if not isinstance(value, dict):
        return value
    return {
        name: convert(item) if name.endswith("Time") and isinstance(item, float) else _times_as(item, convert)
        for name, item in dict(value).items()
    }


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
