"""One release at a time per endpoint: the lease, held by an execution for as long as it runs.

Flow: approval and staging, around what changes the endpoint. It needs no clock and no giving back: when the
holder's execution is over, however it ended, the next one takes the lease. A function of an execution that
is over may still be at work, so each taking has a token, one higher than the last, and every change that a
release or a rollback makes asks first whether its own is still the newest. It stands in the runs table.

SageMaker knows no tokens: between the question and the change there is a moment in which another may take
over, which is why the smoke test reads back what is deployed. `scale` and `expire` hold no lease: the one
registers again what a release set, the other removes what nobody has touched for its time to live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import EndpointBusyError, LeaseLostError


@dataclass(frozen=True)
class Lease:
    """What was taken; `token` tells it from every other taking of the same lease."""

    name: str
    holder: str
    token: int
    table: str
    dynamodb: Any

    def confirm(self) -> None:
        """Nothing, while no other has taken it since. Raises: LeaseLostError naming who has."""
        if _write(self, expected=self):
            return
        current = _read(self.name, table=self.table, dynamodb=self.dynamodb)
        by = f"{current.holder} (token {current.token})" if current else "nobody"
        raise LeaseLostError(
            f"Endpoint {self.name} was taken over by {by}: the token {self.token} of {self.holder} is stale, "
            "and changes nothing any more."
        )


class FencedEndpoints:
    """A client of SageMaker, or of its scaling, that changes something only while the lease is held."""

    _CHANGES = ("add_", "create_", "delete_", "deregister_", "put_", "register_", "update_")

    def __init__(self, client: Any, lease: Lease) -> None:
        self._client = client
        self._lease = lease

    def __getattr__(self, name: str) -> Any:
        if name.startswith(self._CHANGES):
            # Asked at the last moment: when the change is called, not when it is looked up.
            return lambda **request: self._change(name, request)
        return getattr(self._client, name)

    def _change(self, name: str, request: dict[str, Any]) -> Any:
        self._lease.confirm()
        return getattr(self._client, name)(**request)


def take_lease(name: str, *, holder: str, table: str, dynamodb: Any, stepfunctions: Any) -> Lease:
    """The lease, when this execution holds it now. Raises: EndpointBusyError naming who does."""
    current = _read(name, table=table, dynamodb=dynamodb)
    if current is None or current.holder == holder or _is_over(current.holder, stepfunctions):
        # Of several that find it free, one writes; for the others it is another's by then.
        taken = Lease(name, holder, current.token + 1 if current else 1, table, dynamodb)
        if _write(taken, expected=current):
            return taken
        current = _read(name, table=table, dynamodb=dynamodb)
    by = current.holder if current else "somebody"
    raise EndpointBusyError(f"Endpoint {name} is being released to by {by}; this release has to wait.")


def retake_lease(name: str, *, holder: str, table: str, dynamodb: Any) -> Lease | None:
    """The lease under a new token, where this execution is the one that took it last; else None.

    Raises: LeaseLostError when another took it at this moment.
    """
    current = _read(name, table=table, dynamodb=dynamodb)
    if current is None or current.holder != holder:
        return None
    taken = Lease(name, holder, current.token + 1, table, dynamodb)
    if not _write(taken, expected=current):
        raise LeaseLostError(f"Endpoint {name} was taken over while {holder} took it again.")
    return taken


def lease_key(name: str) -> str:
    """The key of a lease; no run's name holds a slash."""
    return f"lease/{name}"


def _is_over(holder: str, stepfunctions: Any) -> bool:
    try:
        status: str = stepfunctions.describe_execution(executionArn=holder)["status"]
    except ClientError as error:
        # Step Functions forgets an execution 90 days after its end.
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return True
    return status != "RUNNING"


def _read(name: str, *, table: str, dynamodb: Any) -> Lease | None:
    key = {"run_id": {"S": lease_key(name)}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        return None
    # One from before there were tokens has none.
    token = int(item.get("fence", {"N": "0"})["N"])
    return Lease(name, item["holder"]["S"], token, table, dynamodb)


def _write(lease: Lease, *, expected: Lease | None) -> bool:
    """True when the lease was as expected, and is this one now."""
    values = {":holder": {"S": lease.holder}, ":fence": {"N": str(lease.token)}}
    condition = "attribute_not_exists(holder)"
    if expected:
        values[":expected"] = {"S": expected.holder}
        condition = "holder = :expected AND attribute_not_exists(fence)"
        if expected.token:
            values[":token"] = {"N": str(expected.token)}
            condition = "holder = :expected AND fence = :token"
    try:
        lease.dynamodb.update_item(
            TableName=lease.table,
            Key={"run_id": {"S": lease_key(lease.name)}},
            UpdateExpression="SET holder = :holder, fence = :fence",
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True
