"""One release at a time per endpoint: the lease, held by an execution for as long as it runs.

Flow: approval and staging, ahead of the deploy. It needs no clock and no giving back: when the holder's
execution is over, however it ended, the next one takes the lease. It stands in the runs table.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import EndpointBusyError


def take_lease(name: str, *, holder: str, table: str, dynamodb: Any, stepfunctions: Any) -> None:
    """Nothing, when this execution holds the lease. Raises: EndpointBusyError naming who does."""
    if _write(name, holder=holder, expected=None, table=table, dynamodb=dynamodb):
        return
    key = {"run_id": {"S": lease_key(name)}}
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
    current = item["holder"]["S"]
    if current == holder:
        return
    # Of several that find the holder gone, one writes over it; for the others it is another by then.
    gone = stepfunctions.describe_execution(executionArn=current)["status"] != "RUNNING"
    if not (gone and _write(name, holder=holder, expected=current, table=table, dynamodb=dynamodb)):
        raise EndpointBusyError(
            f"Endpoint {name} is being released to by {current}; this release has to wait."
        )


def lease_key(name: str) -> str:
    """The key of a lease; no run's name holds a slash."""
    return f"lease/{name}"


def _write(name: str, *, holder: str, expected: str | None, table: str, dynamodb: Any) -> bool:
    """True when the lease was free, or was held by `expected`, and is this holder's now."""
    values = {":holder": {"S": holder}}
    condition = "attribute_not_exists(holder)"
    if expected:
        values[":expected"] = {"S": expected}
        condition = "holder = :expected"
    try:
        dynamodb.update_item(
            TableName=table,
            Key={"run_id": {"S": lease_key(name)}},
            UpdateExpression="SET holder = :holder",
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True
