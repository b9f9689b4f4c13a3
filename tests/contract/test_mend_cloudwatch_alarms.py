"""An alarm reads back as it was put, in the protocol of boto3 and in Terraform's."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from mend_servers import ACCOUNT, REGION, Server, mended, plain, unique

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
METRIC: dict[str, Any] = {
    "AlarmDescription": "Slow & <bad>",
    "Namespace": "AWS/SageMaker",
    "MetricName": "ModelLatency",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}],
    "ExtendedStatistic": "p99",
    "Period": 60,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 200.5,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "breaching",
    "ActionsEnabled": True,
    "AlarmActions": [TOPIC],
    "OKActions": [TOPIC],
    "InsufficientDataActions": [TOPIC],
    "Unit": "Microseconds",
}
MATH: dict[str, Any] = {
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "Metrics": [
        {"Id": "rate", "Expression": "errors / calls * 100", "Label": "Errors", "ReturnData": True},
        {
            "Id": "errors",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": "Invocation5XXErrors",
                    "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
                },
                "Period": 60,
                "Stat": "Sum",
            },
            "ReturnData": False,
        },
        {
            "Id": "calls",
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SageMaker", "MetricName": "Invocations"},
                "Period": 60,
                "Stat": "Sum",
            },
            "ReturnData": False,
        },
    ],
}


def query(server: Server, action: str, parameters: dict[str, Any]) -> ET.Element:
    """A call in the query protocol, as the Terraform provider makes it."""
    flat = {"Action": action, "Version": "2010-08-01", **_flat(parameters)}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", f"{server.endpoint}/", data=flat, headers=headers)
    keys = Credentials(server.root["aws_access_key_id"], server.root["aws_secret_access_key"])
    SigV4Auth(keys, "monitoring", REGION).add_auth(request)
    prepared = request.prepare()
    answer = requests.post(
        prepared.url,
        data=prepared.body,
        headers=dict(prepared.headers),
        verify=str(server.ca_file),
        timeout=10,
    )
    answer.raise_for_status()
    return ET.fromstring(answer.text)  # noqa: S314 (the answer of a server started here)


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = {f"member.{index}": item for index, item in enumerate(value, 1)}.items()
    else:
        return {prefix: str(value).lower() if isinstance(value, bool) else str(value)}
    dot = f"{prefix}." if prefix else ""
    return {key: text for name, item in pairs for key, text in _flat(item, f"{dot}{name}").items()}


def decoded(element: ET.Element) -> Any:
    """XML as nested members, every leaf a text."""
    children = list(element)
    if not children:
        return element.text or ""
    names = [child.tag.rpartition("}")[2] for child in children]
    if set(names) == {"member"}:
        return [decoded(child) for child in children]
    return dict(zip(names, map(decoded, children), strict=True))


def as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value] or ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def described_in_xml(server: Server, name: str, kind: str = "MetricAlarm") -> dict[str, Any]:
    answer = decoded(query(server, "DescribeAlarms", {"AlarmNames": [name], "AlarmTypes": [kind]}))
    found: dict[str, Any] = answer["DescribeAlarmsResult"][f"{kind}s"][0]
    return found


def test_ministack_still_reads_back_too_little() -> None:
    name = unique("alarm")
    query(plain(), "PutMetricAlarm", {"AlarmName": name, **METRIC})

    assert (
        not {"Dimensions", "Period", "AlarmActions", "TreatMissingData"}
        & described_in_xml(plain(), name).keys()
    )


@pytest.mark.parametrize("alarm", [METRIC, MATH], ids=["metric", "math"])
@pytest.mark.parametrize("put", ["query", "boto3"])
def test_what_was_put_is_read_back(alarm: dict[str, Any], put: str) -> None:
    server, name = mended(), unique("alarm")
    if put == "query":
        query(server, "PutMetricAlarm", {"AlarmName": name, **alarm})
    else:
        server.client("cloudwatch").put_metric_alarm(AlarmName=name, **alarm)

    in_xml = described_in_xml(server, name)
    in_cbor = server.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]

    assert {key: in_xml[key] for key in alarm} == as_text(alarm)
    assert {key: in_cbor[key] for key in alarm} == alarm
    assert "Statistic" not in in_xml
    assert "Statistic" not in in_cbor
    if alarm is MATH:
        assert not {"Period", "Namespace", "MetricName"} & in_xml.keys()


def test_a_composite_alarm_is_read_back() -> None:
    server, child, name = mended(), unique("alarm"), unique("alarm")
    query(server, "PutMetricAlarm", {"AlarmName": child, **METRIC})
    rule = f'ALARM("{child}") OR FALSE'
    wanted = {"AlarmRule": rule, "AlarmDescription": "both", "AlarmActions": [TOPIC], "ActionsEnabled": True}
    query(server, "PutCompositeAlarm", {"AlarmName": name, **wanted})

    found = described_in_xml(server, name, "CompositeAlarm")

    assert {key: found[key] for key in wanted} == as_text(wanted)
