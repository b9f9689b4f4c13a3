"""A flow log reads back with its role, format, interval, log group and tags."""

from __future__ import annotations

from typing import Any

from mend_servers import Server, mended, plain, unique


def flow_log(server: Server) -> dict[str, Any]:
    """A new flow log, described, and the names it was made of."""
    ec2, group = server.client("ec2"), unique("/flow")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    role = server.role("vpc-flow-logs")
    identity = ec2.create_flow_logs(
        ResourceIds=[vpc],
        ResourceType="VPC",
        TrafficType="REJECT",
        LogGroupName=group,
        DeliverLogsPermissionArn=role,
        MaxAggregationInterval=60,
        TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "Project", "Value": "mlops"}]}],
    )["FlowLogIds"][0]
    found: dict[str, Any] = ec2.describe_flow_logs(FlowLogIds=[identity])["FlowLogs"][0]
    return {**found, "role": role, "group": group}


def test_ministack_still_forgets_them() -> None:
    found = flow_log(plain())

    assert (
        not {"DeliverLogsPermissionArn", "MaxAggregationInterval", "LogFormat", "LogGroupName"} & found.keys()
    )
    assert not found.get("Tags")


def test_everything_is_read_back() -> None:
    found = flow_log(mended())

    assert found["DeliverLogsPermissionArn"] == found["role"]
    assert found["LogGroupName"] == found["group"]
    assert (found["TrafficType"], found["MaxAggregationInterval"]) == ("REJECT", 60)
    assert found["LogFormat"].startswith("${version} ${account-id} ${interface-id}")
    assert found["Tags"] == [{"Key": "Project", "Value": "mlops"}]
