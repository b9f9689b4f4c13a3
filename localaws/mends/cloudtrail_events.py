"""CloudTrail: API calls become records, and those that change something become EventBridge events.

AWS: each call is recorded with who made it (sessions with the role that issued them), what was asked and
    answered, refusals included; a logging trail's selectors decide which records it delivers, and
    EventBridge gets the delivered ones that change something as "AWS API Call via CloudTrail" ["CloudTrail
    record contents", "Logging data events", "AWS service events delivered via AWS CloudTrail"].
ministack: records an IAM user named after the access key, no answer, no error, a multipart upload's end and
    a copy under wrong names, whatever the trails say, and sends nothing to EventBridge.
Hook: `app.py::_maybe_record_cloudtrail` (off) and `exchanges`; LookupEvents reads the same queue as before.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ministack import app
from ministack.core.responses import request_scope
from ministack.services import cloudtrail, eventbridge

from localaws.mends import cloudtrail_records, exchanges
from localaws.mends.cloudtrail_selectors import may_select, selects
from localaws.mends.exchanges import Request, Response

VERSION = "1.5.33"

MAX_LOOKED_UP = 3_000
# Who gets a record that a trail delivers: the trail, and the record.
Delivery = Callable[[dict[str, Any], dict[str, Any]], None]
deliveries: list[Delivery] = []


def apply() -> None:
    """Makes calls recorded as on AWS."""
    app._maybe_record_cloudtrail = _record_nothing
    cloudtrail._MAX_EVENTS = MAX_LOOKED_UP
    exchanges.observe(record)


def record(request: Request, response: Response) -> None:
    """Records one call, where someone wants it."""
    name = None if request.path.startswith("/_") else cloudtrail_records.event_name(request)
    if name is None:
        return
    is_data = cloudtrail_records.is_data_event(request, name)
    trails = logging_trails(request.account_id, request.region)
    if is_data:
        kind = cloudtrail_records.data_type(request)
        trails = [(trail, selectors) for trail, selectors in trails if may_select(selectors, kind)]
    if is_data and not trails:
        return
    made = cloudtrail_records.create_record(request, response, name, is_data=is_data)
    if made is None:
        return
    if not is_data:
        _remember(made)
    wanting = [trail for trail, selectors in trails if selects(selectors, made)]
    for trail in wanting:
        for deliver in deliveries:
            deliver(trail, made)
    if wanting and not made["readOnly"]:
        _send_event(made)


def logging_trails(account_id: str, region: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The trails that log calls of the region, with their selectors."""
    return [
        (trail, _selectors(account_id, home_region, name))
        for home_region, name, trail in cloudtrail._account_trail_items(account_id)
        if trail.get("IsLogging") and (trail.get("IsMultiRegionTrail") or home_region == region)
    ]


def _selectors(account_id: str, home_region: str, name: str) -> list[dict[str, Any]]:
    default = cloudtrail._DEFAULT_EVENT_SELECTORS
    found: list[dict[str, Any]] = cloudtrail._event_selectors.get_scoped(
        account_id, home_region, name, default
    )
    return found


def _remember(made: dict[str, Any]) -> None:
    """Keeps the record for LookupEvents, which knows management events only."""
    identity = made["userIdentity"]
    cloudtrail._get_event_queue().append(
        {
            "EventId": made["eventID"],
            "EventName": made["eventName"],
            "EventSource": made["eventSource"],
            "EventTime": datetime.fromisoformat(made["eventTime"]).timestamp(),
            "Username": identity["arn"].rsplit("/", 1)[-1].rsplit(":", 1)[-1],
            "AccessKeyId": identity["accessKeyId"],
            "ReadOnly": str(made["readOnly"]).lower(),
            "Resources": [
                {"ResourceName": resource["ARN"], "ResourceType": resource.get("type", "")}
                for resource in made["resources"]
                if "ARN" in resource
            ],
            "CloudTrailEvent": json.dumps(made),
        }
    )


def _send_event(made: dict[str, Any]) -> None:
    entry = {
        "Source": f"aws.{made['eventSource'].removesuffix('.amazonaws.com')}",
        "DetailType": "AWS API Call via CloudTrail",
        "Detail": json.dumps(made),
        "Resources": [],
    }
    scope = made["recipientAccountId"], made["awsRegion"]
    threading.Thread(target=_put_event, args=(*scope, entry), daemon=True, name="cloudtrail").start()


def _put_event(account_id: str, region: str, entry: dict[str, Any]) -> None:
    with request_scope(account_id, region):
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _record_nothing(*_: Any) -> None:
    """In place of ministack's own recording."""
