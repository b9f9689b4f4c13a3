"""CloudWatch: an alarm reads back as it was put.

AWS: DescribeAlarms gives every member of PutMetricAlarm and PutCompositeAlarm, metric math included; an
    alarm on an extended statistic has no Statistic, one on metric math no metric of its own [API pages of
    MetricAlarm, CompositeAlarm and PutMetricAlarm].
ministack: drops Metrics, InsufficientDataActions (query protocol) and what is beyond the name, state and
    threshold in the XML that Terraform reads; Statistic is Average where there is none.
Hook: `services/cloudwatch.py::_put_metric_alarm`, `::_describe_alarms`, `::_cbor_alarm`.
"""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch

VERSION = "1.5.33"

# Members that ministack does not store, and that PutMetricAlarm takes as they are.
KEPT = ("InsufficientDataActions", "EvaluateLowSampleCountPercentile", "ThresholdMetricId", "Metrics")
OF_ONE_METRIC = ("MetricName", "Namespace", "Dimensions", "Period", "Statistic", "ExtendedStatistic", "Unit")


def apply() -> None:
    """Makes alarms read back."""
    put, describe, as_cbor = (
        cloudwatch._put_metric_alarm,
        cloudwatch._describe_alarms,
        cloudwatch._cbor_alarm,
    )

    def put_metric_alarm(params: Any, cbor: Any, is_cbor: bool, is_json: bool = False) -> Any:
        answer = put(params, cbor, is_cbor, is_json)
        if answer[0] == 200:
            members = cbor if is_cbor or is_json else tree(params)
            alarm = cloudwatch._alarms[members["AlarmName"]]
            alarm.update({name: members[name] for name in KEPT if name in members})
            cloudwatch._evaluate_alarm(alarm)
        return answer

    def describe_alarms(params: Any, cbor: Any, is_cbor: bool, is_json: bool = False) -> Any:
        if is_cbor:
            return describe(params, cbor, is_cbor, is_json)
        status, _, body = describe(params, cbor if is_json else tree(params), False, True)
        if status != 200:
            return describe(params, cbor, is_cbor, is_json)
        result = json.loads(body)
        for kind in ("MetricAlarms", "CompositeAlarms"):
            result[kind] = [shown(alarm) for alarm in result[kind]]
        return cloudwatch._json_ok(result) if is_json else _answer_in_xml(result)

    cloudwatch._put_metric_alarm = put_metric_alarm
    cloudwatch._describe_alarms = describe_alarms
    cloudwatch._cbor_alarm = lambda alarm: as_cbor(shown(alarm))


def shown(alarm: dict[str, Any]) -> dict[str, Any]:
    """The alarm as DescribeAlarms shows it."""
    hidden: tuple[str, ...] = ()
    if alarm.get("Metrics"):
        hidden = OF_ONE_METRIC
    elif alarm.get("ExtendedStatistic"):
        hidden = ("Statistic",)
    return {name: value for name, value in alarm.items() if name not in hidden and value not in (None, "")}


def tree(params: dict[str, Any]) -> dict[str, Any]:
    """A query protocol's flat parameters (`Metrics.member.1.Id`) as nested members."""
    root: dict[str, Any] = {}
    for name, value in params.items():
        *parents, last = name.split(".")
        node = root
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = _typed(last, value[0] if isinstance(value, list) else value)
    nested: dict[str, Any] = _with_lists(root)
    return nested


def _typed(name: str, value: str) -> Any:
    if name in ("ReturnData", "ActionsEnabled"):
        return value == "true"
    return int(value) if name in ("Period", "MaxRecords") else value


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node.keys() == {"member"}:
        members = node["member"]
        return [_with_lists(members[index]) for index in sorted(members, key=int)]
    return {name: _with_lists(value) for name, value in node.items()}


def _answer_in_xml(result: dict[str, Any]) -> Any:
    inner = f"<DescribeAlarmsResult>{_xml(result)}</DescribeAlarmsResult>"
    return cloudwatch._xml(200, "DescribeAlarmsResponse", inner)


def _xml(value: Any, name: str = "") -> str:
    if isinstance(value, dict):
        return "".join(f"<{key}>{_xml(item, key)}</{key}>" for key, item in value.items() if item is not None)
    if isinstance(value, list):
        return "".join(f"<member>{_xml(item)}</member>" for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    if name.endswith("Timestamp") and isinstance(value, int | float):
        return str(cloudwatch._ts_iso(value))
    return escape(str(value))
