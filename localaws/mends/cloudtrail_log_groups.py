"""CloudTrail: a trail with a log group writes its records there, too, in its role.

AWS: each record becomes a log event in a stream `<account>_CloudTrail_<region>`, within about five minutes;
    the trail's role is tried when it is given, and one that cannot write is refused ["Sending events to
    CloudWatch Logs", "Role policy document for CloudTrail to use CloudWatch Logs", API page of CreateTrail].
ministack: keeps neither (`cloudtrail_trails` mends that) and writes nothing.
Hook: `services/cloudtrail.py::_DISPATCH`; records come from `cloudtrail_events`.

Records are written every second.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudtrail, cloudwatch_logs

from localaws.mends import cloudtrail_events, role_sessions

VERSION = "1.5.33"

WRITE_S = 1.0
SERVICE_PRINCIPAL = "cloudtrail.amazonaws.com"
MAX_RECORDS_PER_CALL = 1_000

logger = logging.getLogger(__name__)

Kept = tuple[dict[str, Any], dict[str, Any]]
_lock = threading.Lock()
_kept: list[Kept] = []


def apply() -> None:
    """Makes trails write to their log groups."""
    for operation in ("CreateTrail", "UpdateTrail"):
        cloudtrail._DISPATCH[operation] = _trying_role(cloudtrail._DISPATCH[operation])
    cloudtrail_events.deliveries.append(_keep)
    threading.Thread(target=_write_forever, daemon=True, name="cloudtrail-log-groups").start()


def group_name(arn: str) -> str:
    """The log group of `arn:…:log-group:NAME:*`."""
    return arn.partition(":log-group:")[2].removesuffix(":*")


def _keep(trail: dict[str, Any], record: dict[str, Any]) -> None:
    if trail.get("CloudWatchLogsLogGroupArn"):
        with _lock:
            _kept.append((trail, record))


def _write_forever() -> None:
    while True:
        time.sleep(WRITE_S)
        with _lock:
            kept = _kept[:]
            _kept.clear()
        for trail in {trail["TrailARN"]: trail for trail, _ in kept}.values():
            records = [record for owner, record in kept if owner["TrailARN"] == trail["TrailARN"]]
            for start in range(0, len(records), MAX_RECORDS_PER_CALL):
                _write(trail, records[start : start + MAX_RECORDS_PER_CALL])


def _write(trail: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """Writes records of one trail. A group that is gone is told in the server's log."""
    lines = [
        {"timestamp": _epoch_ms(record), "message": json.dumps(record, separators=(",", ":"))}
        for record in sorted(records, key=lambda record: record["eventTime"])
    ]
    with request_scope(records[0]["recipientAccountId"], trail["HomeRegion"]):
        try:
            logs, stream = _open_stream(trail)
            logs.put_log_events(**stream, logEvents=lines)
        except (ClientError, role_sessions.RoleError) as error:
            logger.error("Trail %s cannot write to its log group: %s", trail["Name"], error)


def _open_stream(trail: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """A client in the trail's role, and the group and stream that it writes to."""
    logs = role_sessions.client(
        "logs",
        trail["CloudWatchLogsRoleArn"],
        service_principal=SERVICE_PRINCIPAL,
        session_name="CLOUDWATCH_LOGS_DELIVERY_SESSION",
        source_arn=trail["TrailARN"],
    )
    stream = {
        "logGroupName": group_name(trail["CloudWatchLogsLogGroupArn"]),
        "logStreamName": f"{get_account_id()}_CloudTrail_{get_region()}",
    }
    streams = (cloudwatch_logs._log_groups.get(stream["logGroupName"]) or {}).get("streams", {})
    if stream["logStreamName"] not in streams:
        logs.create_log_stream(**stream)
    return logs, stream


def _trying_role(handle: Any) -> Any:
    def handle_tried(body: dict[str, Any]) -> Any:
        if body.get("CloudWatchLogsLogGroupArn"):
            try:
                _check(body)
            except _RefusalError as refusal:
                return cloudtrail._err(*refusal.args)
        return handle(body)

    return handle_tried


class _RefusalError(Exception):
    """AWS's code and message."""


def _check(body: dict[str, Any]) -> None:
    """Raises: _RefusalError as AWS does where the group is missing or the role is not trusted."""
    name = group_name(body["CloudWatchLogsLogGroupArn"])
    if name not in cloudwatch_logs._log_groups:
        message = "Specified log group does not exist."
        raise _RefusalError("InvalidCloudWatchLogsLogGroupArnException", message)
    try:
        role = role_sessions.role_of(body.get("CloudWatchLogsRoleArn", ""))
    except role_sessions.RoleError as error:
        raise _RefusalError("InvalidCloudWatchLogsRoleArnException", str(error)) from error
    if not role_sessions.trusts(role, SERVICE_PRINCIPAL, source_arn=_arn(body["Name"])):
        message = "Access denied. Check the trust relationships for your role."
        raise _RefusalError("InvalidCloudWatchLogsRoleArnException", message)


def _arn(name: str) -> str:
    return name if name.startswith("arn:") else str(cloudtrail._trail_arn(name))


def _epoch_ms(record: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(record["eventTime"]).timestamp() * 1000)
