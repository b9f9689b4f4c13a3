"""The run item: what is known about one retraining run, and which status may follow which.

Flow: dataset upload, every step. The claim creates the item by a conditional put; after that each
status is written only over one that it may follow, so that a late or repeated step changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from pipeline.artefact import Version
from pipeline.errors import RunError, UsageError

Status = Literal[
    "Running",
    "Superseded",
    "Quarantined",
    "RejectedByGates",
    "WaitingForApproval",
    "Approved",
    "Rejected",
    "Expired",
    "Stopped",
    "Failed",
]

MAY_FOLLOW: Mapping[str, tuple[Status, ...]] = {
    "Superseded": ("Running",),
    "Quarantined": ("Running",),
    "RejectedByGates": ("Running",),
    "WaitingForApproval": ("Running",),
    "Approved": ("WaitingForApproval",),
    "Rejected": ("WaitingForApproval",),
    "Expired": ("WaitingForApproval",),
    "Stopped": ("Running", "WaitingForApproval"),
    "Failed": ("Running", "WaitingForApproval"),
}

# Kept as JSON text: DynamoDB knows no floats, and nobody asks it about what is inside.
JSON_ATTRIBUTES = ("smoke", "metrics", "parity")


def run_id(model: str, upload: Version) -> str:
    """The name from which every other name of the run derives; equal for equal uploads."""
    address = f"{upload.bucket}/{upload.key}?versionId={upload.version_id}"
    return f"{model}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


class RunsTable:
    """The runs of one environment, in one DynamoDB table."""

    def __init__(self, name: str, *, dynamodb: Any) -> None:
        self._name = name
        self._dynamodb = dynamodb

    def claim(self, item: Mapping[str, Any], *, now: datetime, again: bool = False) -> int:
        """Which claim of the run this execution holds, from 1; 0 where another one holds the run.

        An execution that asks twice holds what it held. `again`: a run that was stopped, and stands in the
        ledger as such, may be had anew as long as it has no model, which may be served under the run's name.
        Its uploader stays, whatever `item` says.
        """
        fresh = {"ConditionExpression": "attribute_not_exists(run_id)"}
        if self._put_claim(item, 1, now=now, condition=fresh):
            return 1
        holder = self.get(item["run_id"])
        number = int(holder.get("claims", 1))
        if holder["execution_arn"] == item["execution_arn"]:
            return number
        if not again or holder["status"] != "Stopped" or "model_uri" in holder or not is_entered(holder):
            return 0
        uploader = holder.get("uploaded_by")
        known = "uploaded_by = :by" if uploader else "attribute_not_exists(uploaded_by)"
        released = {
            "ConditionExpression": "#status = :stopped AND execution_arn = :holder "
            f"AND attribute_not_exists(model_uri) AND {known}",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": _to_item(
                {":stopped": "Stopped", ":holder": holder["execution_arn"], ":by": uploader}
            ),
        }
        taken = {**item, "uploaded_by": uploader}
        return number + 1 if self._put_claim(taken, number + 1, now=now, condition=released) else 0

    def _put_claim(
        self, item: Mapping[str, Any], number: int, *, now: datetime, condition: Mapping[str, Any]
    ) -> bool:
        times = {"created_at": now.isoformat(), "updated_at": now.isoformat()}
        claimed = _to_item({**item, **times, "status": "Running", "claims": number})
        try:
            self._dynamodb.put_item(TableName=self._name, Item=claimed, **condition)
        except ClientError as error:
            if not _is_condition(error):
                raise
            return False
        return True

    def name_uploader(self, run_id: str, *, uploaded_by: str) -> None:
        """Record who uploaded the dataset, unless it is known: the first name stays."""
        try:
            self._dynamodb.update_item(
                TableName=self._name,
                Key=_to_item({"run_id": run_id}),
                UpdateExpression="SET uploaded_by = :by",
                ConditionExpression="attribute_exists(run_id) AND attribute_not_exists(uploaded_by)",
                ExpressionAttributeValues=_to_item({":by": uploaded_by}),
            )
        except ClientError as error:
            if not _is_condition(error):
                raise

    def has(self, run_id: str) -> bool:
        """Whether the run was claimed."""
        return self._find(run_id) is not None

    def get(self, run_id: str) -> dict[str, Any]:
        """The run item. Raises: UsageError when there is no such run."""
        item = self._find(run_id)
        if item is None:
            raise UsageError(f"There is no run {run_id} in {self._name}. List them with `mlops runs`.")
        return item

    def all(self) -> list[dict[str, Any]]:
        """Every run item, the newest first."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._name)
        # What has no status is not a run: leases and champions stand here too.
        items = [_from_item(item) for page in pages for item in page["Items"] if "status" in item]
        return sorted(items, key=lambda item: str(item["created_at"]), reverse=True)

    def move(
        self, run_id: str, status: Status, *, now: datetime, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Give the run a new status and what is known with it; doing so twice changes nothing more.

        Raises: RunError when the run is in a status that this one may not follow.
        """
        allowed = (*MAY_FOLLOW[status], status)
        values = {"status": status, "updated_at": now.isoformat(), **(facts or {})}
        try:
            self._dynamodb.update_item(**_update_request(self._name, run_id, values=values, allowed=allowed))
        except ClientError as error:
            if not _is_condition(error):
                raise
            current = self.get(run_id)["status"]
            raise RunError(f"Run {run_id} is {current}; it cannot become {status} any more.") from None

    def release(self, run_id: str, *, holder: str, reason: str, now: datetime) -> bool:
        """Whether this stopped the run: not where it ended by itself, or another execution has it by now."""
        at = now.isoformat()
        values = {"status": "Stopped", "updated_at": at, "stopped_at": at, "reason": reason}
        request = _update_request(self._name, run_id, values=values, allowed=MAY_FOLLOW["Stopped"])
        request["ConditionExpression"] += " AND execution_arn = :holder"
        request["ExpressionAttributeValues"] |= _to_item({":holder": holder})
        try:
            self._dynamodb.update_item(**request)
        except ClientError as error:
            if not _is_condition(error):
                raise
            return False
        return True

    def crown(self, model: str, run_id: str, *, now: datetime) -> None:
        """Remember the run whose model is the champion from now on."""
        values = {":run": run_id, ":now": now.isoformat()}
        self._dynamodb.update_item(
            TableName=self._name,
            Key=_to_item({"run_id": _champion_key(model)}),
            UpdateExpression="SET champion = :run, updated_at = :now",
            ExpressionAttributeValues=_to_item(values),
        )

    def champion(self, model: str) -> str | None:
        """The run whose model is the champion, or None before the first release under an approval."""
        item = self._find(_champion_key(model))
        return str(item["champion"]) if item else None

    def _find(self, key: str) -> dict[str, Any] | None:
        item = self._dynamodb.get_item(
            TableName=self._name, Key=_to_item({"run_id": key}), ConsistentRead=True
        ).get("Item")
        return _from_item(item) if item else None

    def note(self, run_id: str, facts: Mapping[str, Any], *, now: datetime) -> None:
        """Add what a step found out; the status stays."""
        values = {**facts, "updated_at": now.isoformat()}
        self._dynamodb.update_item(
            **_update_request(self._name, run_id, values=values, allowed=get_args(Status))
        )


def is_entered(run: Mapping[str, Any]) -> bool:
    """Whether the ledger says that the execution which holds the run was stopped."""
    return bool(run.get("entered") == run["execution_arn"])


def release_attribute(environment: str) -> str:
    """The attribute that says how the run's release into an environment ended."""
    return f"release_{environment}"


def _champion_key(model: str) -> str:
    return f"champion/{model}"


def _update_request(
    table: str, run_id: str, *, values: Mapping[str, Any], allowed: tuple[str, ...]
) -> dict[str, Any]:
    names = {f"#{index}": name for index, name in enumerate(values)}
    given = {f":{index}": _stored(name, value) for index, (name, value) in enumerate(values.items())}
    expected = {f":allowed{index}": status for index, status in enumerate(allowed)}
    return {
        "TableName": table,
        "Key": _to_item({"run_id": run_id}),
        "UpdateExpression": "SET " + ", ".join(f"#{index} = :{index}" for index in range(len(values))),
        "ConditionExpression": f"#status IN ({', '.join(expected)})",
        "ExpressionAttributeNames": {**names, "#status": "status"},
        "ExpressionAttributeValues": _to_item({**given, **expected}),
    }


def _stored(name: str, value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if name in JSON_ATTRIBUTES else value


def _to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(value) for name, value in values.items() if value is not None}


def _from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    deserializer = TypeDeserializer()
    plain = {name: deserializer.deserialize(value) for name, value in item.items()}
    plain |= {name: int(plain[name]) for name in ("rows", "claims") if name in plain}
    return {name: json.loads(value) if name in JSON_ATTRIBUTES else value for name, value in plain.items()}


def _is_condition(error: ClientError) -> bool:
    return bool(error.response["Error"]["Code"] == "ConditionalCheckFailedException")
