"""CloudWatch: an alarm looks at its own metric, period by period, and says when there is no data.

AWS: an alarm evaluates EvaluationPeriods data points of the metric with its dimensions (or of its metric
    math); it is in ALARM when DatapointsToAlarm of them breach; what is missing counts as TreatMissingData
    says; every change of state is an EventBridge event ["Using Amazon CloudWatch alarms", "Configuring how
    CloudWatch alarms treat missing data", "Alarm events and EventBridge"].
ministack: takes the points of every dimension together as one value, knows neither missing data nor M of N,
    leaves an alarm in its state when the metric ends, and sends no event.
Hook: `services/cloudwatch.py::_evaluate_alarm`, `::record_metric`, `::_dispatch_alarm_actions`.

Periods end now, not at full minutes, so that an alarm changes as soon as its data does; one without new
data is looked at again every period, ten seconds at least.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, eventbridge

from localaws.mends import metric_math

VERSION = "1.5.33"

CHECK_S = 1.0
SHORTEST_RECHECK_S = 10.0
LONGEST_RECHECK_S = 60.0
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}

logger = logging.getLogger(__name__)
_evaluated_at: dict[str, float] = {}
# How many points an alarm's series had when it was last evaluated: new ones are a reason to look again, and
# a state that was set by hand stays until then.
_points_seen: dict[str, list[int]] = {}


def apply() -> None:
    """Makes alarms evaluate as on AWS."""
    record, act = cloudwatch.record_metric, cloudwatch._dispatch_alarm_actions

    def record_metric(*arguments: Any, **options: Any) -> None:
        record(*arguments, **options)
        cloudwatch._evaluate_all_alarms()

    def dispatch_actions(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
        _send_event(alarm, old_state, new_state, reason)
        act(alarm, old_state, new_state, reason)

    cloudwatch._evaluate_alarm = evaluate
    cloudwatch._evaluate_all_alarms = _evaluate_alarms_with_new_data
    cloudwatch.record_metric = record_metric
    cloudwatch._dispatch_alarm_actions = dispatch_actions
    threading.Thread(target=_recheck_forever, daemon=True, name="cloudwatch-alarms").start()


def evaluate(alarm: dict[str, Any]) -> None:
    """Looks at the alarm's data and moves it to the state they mean."""
    now = time.time()
    _evaluated_at[alarm["AlarmArn"]] = now
    _points_seen[alarm["AlarmArn"]] = _points(alarm)
    try:
        values = datapoints(alarm, now)
    except metric_math.MathError as error:
        logger.warning("Alarm %s: %s", alarm["AlarmName"], error)
        return
    old_state = alarm["StateValue"]
    new_state = state_of(alarm, values)
    if new_state == old_state:
        return
    shown = [value for value in values if value is not None]
    reason = (
        f"Threshold Crossed: {len(shown)} of {len(values)} datapoints {shown} against {alarm['Threshold']}."
    )
    if new_state == "INSUFFICIENT_DATA":
        reason = f"Insufficient Data: {len(values) - len(shown)} datapoints were unknown."
    alarm |= {"StateValue": new_state, "StateReason": reason, "StateUpdatedTimestamp": int(now)}
    cloudwatch._record_history(alarm["AlarmName"], old_state, new_state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old_state, new_state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def state_of(alarm: dict[str, Any], values: list[float | None]) -> str:
    """The state that the last periods' values mean."""
    compare = COMPARISONS[alarm["ComparisonOperator"]]
    breaching = [compare(value, alarm["Threshold"]) for value in values if value is not None]
    missing = len(values) - len(breaching)
    needed = alarm.get("DatapointsToAlarm") or len(values)
    treatment = alarm.get("TreatMissingData") or "missing"
    if treatment in ("breaching", "notBreaching"):
        breaching += [treatment == "breaching"] * missing
    if not breaching:
        return "INSUFFICIENT_DATA" if treatment == "missing" else str(alarm["StateValue"])
    if sum(breaching) >= (min(needed, len(breaching)) if treatment == "missing" else needed):
        return "ALARM"
    return str(alarm["StateValue"]) if treatment == "ignore" and missing else "OK"


def datapoints(alarm: dict[str, Any], now: float) -> list[float | None]:
    """The values of the last periods, the newest first; None where there is none."""
    return [_datapoint(alarm, now, index) for index in range(int(alarm.get("EvaluationPeriods") or 1))]


def _datapoint(alarm: dict[str, Any], now: float, index: int) -> float | None:
    queries = alarm.get("Metrics")
    if not queries:
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        return _statistic(alarm, statistic, alarm.get("Period") or 60, now, index)
    values: dict[str, float | None] = {}
    for query in queries:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            values[query["Id"]] = _statistic(stat["Metric"], stat["Stat"], stat["Period"], now, index)
    # An expression may use another one, whatever the order they are written in.
    pending = [query for query in queries if "Expression" in query]
    while pending:
        ready = [query for query in pending if not _waits(query, pending)]
        if not ready:
            raise metric_math.MathError("The expressions wait for each other.")
        for query in ready:
            values[query["Id"]] = metric_math.evaluate(query["Expression"], values)
        pending = [query for query in pending if query not in ready]
    return values[next(query["Id"] for query in queries if query.get("ReturnData", True))]


def _waits(query: dict[str, Any], pending: list[dict[str, Any]]) -> bool:
    return any(
        re.search(rf"\b{other['Id']}\b", query["Expression"]) for other in pending if other is not query
    )


def _evaluate_alarms_with_new_data() -> None:
    for alarm in list(cloudwatch._alarms.values()):
        if _points(alarm) != _points_seen.get(alarm["AlarmArn"]):
            evaluate(alarm)


def _points(alarm: dict[str, Any]) -> list[int]:
    queries = alarm.get("Metrics") or []
    metrics = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query] or [alarm]
    return [len(_series(metric)) for metric in metrics]


def _series(metric: dict[str, Any]) -> list[dict[str, Any]]:
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(metric.get("Dimensions") or []))
    return list(cloudwatch._metrics.get((metric["Namespace"], metric["MetricName"], dimensions)) or [])


def _statistic(metric: dict[str, Any], statistic: str, period_s: int, now: float, index: int) -> float | None:
    newest, oldest = now - index * period_s, now - (index + 1) * period_s
    # A point stamped a little ahead of this clock belongs to the period that ends now.
    found = [
        point
        for point in _series(metric)
        if oldest < point["Timestamp"] and (index == 0 or point["Timestamp"] <= newest)
    ]
    statistics = cloudwatch._calc_stats(found)
    value = cloudwatch._stat_value(statistics, statistic, found) if statistics else None
    return None if value is None else float(value)


def _recheck_forever() -> None:
    while True:
        time.sleep(CHECK_S)
        for (account_id, region, _), alarm in list(cloudwatch._alarms.all_items()):
            if _is_due(alarm):
                with request_scope(account_id, region):
                    evaluate(alarm)


def _is_due(alarm: dict[str, Any]) -> bool:
    """Whether the alarm was neither evaluated nor set for a period."""
    period_s = min(max(float(alarm.get("Period") or 60), SHORTEST_RECHECK_S), LONGEST_RECHECK_S)
    seen = max(_evaluated_at.get(alarm["AlarmArn"], 0.0), float(alarm["StateUpdatedTimestamp"]))
    return time.time() - seen >= period_s


def _send_event(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
    moment = cloudwatch._ts_iso(time.time())
    detail = {
        "alarmName": alarm["AlarmName"],
        "state": {"value": new_state, "reason": reason, "timestamp": moment},
        "previousState": {"value": old_state},
        "configuration": {"description": alarm.get("AlarmDescription") or ""},
    }
    entry = {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Detail": json.dumps(detail),
        "Resources": [alarm["AlarmArn"]],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
