"""S3: "Object Created" and "Object Deleted" as S3 sends them to EventBridge.

AWS: `object` has the version id (versioned buckets), and size only for created objects; request id,
    requester and address are those of the request ["Amazon S3 event notification message structure for
    EventBridge"].
ministack: leaves out the version id, writes an `event-version` that S3 does not, invents the request id,
    and says 127.0.0.1 to everybody.
Hook: `services/s3.py::_fire_s3_event` (the version id) and `services/eventbridge.py::_dispatch_event`.
"""

from __future__ import annotations

import contextvars
import json
from typing import Any

from ministack.services import eventbridge, s3

from localaws.mends import exchanges

VERSION = "1.5.33"

DETAIL_TYPES = ("Object Created", "Object Deleted")

_version_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("s3_version_id", default=None)


def apply() -> None:
    """Makes S3's events complete."""
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire_event(*arguments: Any, version_id: str | None = None, **options: Any) -> None:
        _version_id.set(version_id)
        fire(*arguments, version_id=version_id, **options)

    def dispatch_event(event: dict[str, Any], view: Any = None) -> None:
        if event.get("Source") == "aws.s3" and event["DetailType"] in DETAIL_TYPES:
            detail = complete(json.loads(event["Detail"]), _version_id.get(), exchanges.current_request.get())
            # S3 gives milliseconds to ministack's event and seconds to AWS's.
            event = {**event, "Detail": json.dumps(detail), "Time": event["Time"][:19] + "Z"}
        dispatch(event, view)

    s3._fire_s3_event = fire_event
    eventbridge._dispatch_event = dispatch_event
    exchanges.follow_requests()


def complete(
    detail: dict[str, Any], version_id: str | None, request: exchanges.Request | None
) -> dict[str, Any]:
    """The event's detail with what ministack leaves out, and without what it makes up."""
    detail = {name: value for name, value in detail.items() if name != "event-version"}
    described = dict(detail["object"])
    if "deletion-type" in detail:
        described = {name: described[name] for name in ("key", "sequencer")}
    if version_id:
        described["version-id"] = version_id
    detail["object"] = described
    if request is not None:
        detail |= {"request-id": request.request_id, "source-ip-address": request.client_ip}
    return detail
