"""A trail reads back what it was created with."""

from __future__ import annotations

from typing import Any

from mend_servers import ACCOUNT, REGION, Server, mended, plain, unique
from test_mend_cloudtrail_events import bucket_for_logs


def read_back(server: Server) -> tuple[dict[str, Any], list[dict[str, str]]]:
    trails, group = server.client("cloudtrail"), unique("trail")
    server.client("logs").create_log_group(logGroupName=group)
    trail = trails.create_trail(
        Name=unique("trail"),
        S3BucketName=bucket_for_logs(server),
        CloudWatchLogsLogGroupArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*",
        CloudWatchLogsRoleArn=server.role("cloudtrail"),
        SnsTopicName="trail-files",
        TagsList=[{"Key": "Project", "Value": "mlops"}],
    )
    tags = trails.list_tags(ResourceIdList=[trail["TrailARN"]])["ResourceTagList"][0]["TagsList"]
    return trails.get_trail(Name=trail["Name"])["Trail"], tags


def test_ministack_still_forgets_them() -> None:
    trail, tags = read_back(plain())

    assert "CloudWatchLogsRoleArn" not in trail
    assert "SnsTopicARN" not in trail
    assert tags == []


def test_log_group_role_topic_and_tags_are_kept() -> None:
    trail, tags = read_back(mended())

    assert trail["CloudWatchLogsLogGroupArn"].endswith(":*")
    assert trail["CloudWatchLogsRoleArn"].startswith(f"arn:aws:iam::{ACCOUNT}:role/")
    assert trail["SnsTopicName"] == "trail-files"
    assert trail["SnsTopicARN"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:trail-files"
    assert tags == [{"Key": "Project", "Value": "mlops"}]
