"""A trail writes its records to its log group, in its role."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, REGION, Server, allow, mended, plain, unique, until
from test_mend_cloudtrail_events import bucket_for_logs

WRITE = ("logs:CreateLogStream", "logs:PutLogEvents")


def make_trail(server: Server, role: str) -> tuple[str, str]:
    """Name of a log group that a logging trail writes to, and the bucket that the trail watches."""
    trails, name, group, bucket = server.client("cloudtrail"), unique("trail"), unique("group"), unique("b")
    server.client("s3").create_bucket(Bucket=bucket)
    server.client("logs").create_log_group(logGroupName=group)
    trails.create_trail(
        Name=name,
        S3BucketName=bucket_for_logs(server),
        CloudWatchLogsLogGroupArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*",
        CloudWatchLogsRoleArn=role,
    )
    resources = [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{bucket}/"]}]
    selector = {"ReadWriteType": "All", "IncludeManagementEvents": False, "DataResources": resources}
    trails.put_event_selectors(TrailName=name, EventSelectors=[selector])
    trails.start_logging(Name=name)
    return group, bucket


def records(server: Server, group: str) -> list[dict[str, Any]]:
    found = server.client("logs").filter_log_events(logGroupName=group)["events"]
    return [json.loads(event["message"]) for event in found]


def test_ministack_still_writes_nothing_to_the_log_group() -> None:
    server = plain()
    group, bucket = make_trail(server, server.role("cloudtrail", allow(*WRITE)))
    server.client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")

    assert records(server, group) == []


def test_a_record_reaches_the_log_group_in_cloudtrails_own_stream() -> None:
    server = mended()
    group, bucket = make_trail(server, server.role("cloudtrail", allow(*WRITE)))

    server.client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")
    found = until(lambda: records(server, group), bool)

    assert [record["eventName"] for record in found] == ["PutObject"]
    streams = server.client("logs").describe_log_streams(logGroupName=group)["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == [f"{ACCOUNT}_CloudTrail_{REGION}"]


def test_a_role_without_the_right_to_write_writes_nothing() -> None:
    server = mended()
    silent, watched = make_trail(server, server.role("cloudtrail", allow("logs:CreateLogStream")))
    group, bucket = make_trail(server, server.role("cloudtrail", allow(*WRITE)))

    server.client("s3").put_object(Bucket=watched, Key="a", Body=b"a")
    server.client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")
    until(lambda: records(server, group), bool)

    assert records(server, silent) == []


def test_a_role_that_does_not_trust_cloudtrail_and_a_group_that_is_not_there_are_refused() -> None:
    server = mended()

    with pytest.raises(ClientError, match="InvalidCloudWatchLogsRoleArnException"):
        make_trail(server, server.role("lambda", allow(*WRITE)))
    with pytest.raises(ClientError, match="InvalidCloudWatchLogsLogGroupArnException"):
        server.client("cloudtrail").create_trail(
            Name=unique("trail"),
            S3BucketName=bucket_for_logs(server),
            CloudWatchLogsLogGroupArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:none:*",
            CloudWatchLogsRoleArn=server.role("cloudtrail", allow(*WRITE)),
        )
