"""A function's log is written by those that may write it."""

from __future__ import annotations

from typing import Any

from mend_servers import Server, allow, mended, plain, until

SOURCE = "def handler(event, context):\n    print('said something')\n    return 1"


def run(server: Server, *actions: str) -> str:
    """The log group of a function that ran in a role with these permissions."""
    statements = [allow(*actions)] if actions else []
    arn = server.function(SOURCE, role=server.role("lambda", *statements))
    answer = server.client("lambda").invoke(FunctionName=arn)
    assert answer["Payload"].read() == b"1"
    return f"/aws/lambda/{arn.rpartition(':')[2]}"


def streams(server: Server, group: str) -> list[Any]:
    logs = server.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return []
    return list(logs.describe_log_streams(logGroupName=group)["logStreams"])


def test_a_role_that_may_write_has_its_output_written() -> None:
    group = run(mended(), "logs:CreateLogStream", "logs:PutLogEvents")

    assert until(lambda: streams(mended(), group), bool)


def test_a_function_without_the_permission_runs_and_leaves_no_log() -> None:
    assert streams(mended(), run(mended(), "logs:CreateLogStream")) == []


def test_without_the_mend_everything_is_written() -> None:
    group = run(plain())

    assert until(lambda: streams(plain(), group), bool)
