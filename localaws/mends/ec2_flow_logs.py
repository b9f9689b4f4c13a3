"""EC2: a flow log reads back with its role, format, interval, log group and tags.

AWS: DescribeFlowLogs gives them [API page of FlowLog]; tags come with the resource type `vpc-flow-log`.
ministack: drops them at CreateFlowLogs, and looks for tags of `flow-log`, so that Terraform plans them again.
Hook: `services/ec2.py::_ACTION_MAP` (CreateFlowLogs, DescribeFlowLogs).
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

VERSION = "1.5.33"

DEFAULT_INTERVAL_S = "600"
DEFAULT_FORMAT = " ".join(
    f"${{{name}}}"
    for name in (
        *("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol"),
        *("packets", "bytes", "start", "end", "action", "log-status"),
    )
)


def apply() -> None:
    """Makes flow logs read back."""
    create, describe = ec2._ACTION_MAP["CreateFlowLogs"], ec2._ACTION_MAP["DescribeFlowLogs"]

    def create_flow_logs(params: dict[str, Any]) -> Any:
        before = set(ec2._flow_logs.keys())
        answer = create(params)
        for name in set(ec2._flow_logs.keys()) - before:
            ec2._flow_logs[name].update(
                DeliverLogsPermissionArn=ec2._p(params, "DeliverLogsPermissionArn"),
                MaxAggregationInterval=ec2._p(params, "MaxAggregationInterval") or DEFAULT_INTERVAL_S,
                LogFormat=ec2._p(params, "LogFormat") or DEFAULT_FORMAT,
            )
            ec2._parse_tag_specs(params, "vpc-flow-log", name)
        return answer

    def describe_flow_logs(params: dict[str, Any]) -> Any:
        status, headers, body = describe(params)
        text = body.decode()
        for name, flow_log in ec2._flow_logs.items():
            identity = f"<flowLogId>{name}</flowLogId>"
            text = text.replace(identity, identity + _missing_xml(flow_log))
        return status, headers, text.encode()

    ec2._ACTION_MAP["CreateFlowLogs"] = create_flow_logs
    ec2._ACTION_MAP["DescribeFlowLogs"] = describe_flow_logs


def _missing_xml(flow_log: dict[str, Any]) -> str:
    members = {
        "maxAggregationInterval": flow_log.get("MaxAggregationInterval", DEFAULT_INTERVAL_S),
        "logFormat": flow_log.get("LogFormat", DEFAULT_FORMAT),
        "deliverLogsPermissionArn": flow_log.get("DeliverLogsPermissionArn"),
    }
    if flow_log["LogDestinationType"] == "cloud-watch-logs":
        members["logGroupName"] = (flow_log.get("LogDestination") or "").rpartition("log-group:")[2]
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members.items() if value)
