"""An alarm looks at its own metric, period by period, and says when there is no data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mend_servers import Server, allow_service, mended, plain, unique, until

from localaws.mends.cloudwatch_alarm_states import state_of
from localaws.mends.metric_math import MathError, evaluate

MATH_TEXT = "errors / calls * 100"


def put_alarm(server: Server, **fields: Any) -> str:
    name = unique("alarm")
    server.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        **{
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            **fields,
        },
    )
    return name


def put_value(
    server: Server, namespace: str, value: float, *, metric: str = "Errors", endpoint: str = "a"
) -> None:
    datum = {"MetricName": metric, "Value": value, "Dimensions": [{"Name": "Endpoint", "Value": endpoint}]}
    server.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


def state(server: Server, name: str) -> str:
    return str(
        server.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]
    )


def alarm_of_another_endpoint(server: Server) -> str:
    """The state of an alarm after errors of an endpoint that it does not watch."""
    namespace = unique("namespace")
    watched = [{"Name": "Endpoint", "Value": "mine"}]
    name = put_alarm(
        server, Namespace=namespace, MetricName="Errors", Statistic="Sum", Period=60, Dimensions=watched
    )
    put_value(server, namespace, 5, endpoint="other")
    return state(server, name)


def test_ministack_still_mixes_the_dimensions() -> None:
    assert alarm_of_another_endpoint(plain()) == "ALARM"


def test_an_alarm_watches_its_own_dimensions() -> None:
    assert alarm_of_another_endpoint(mended()) == "INSUFFICIENT_DATA"


def test_a_breach_is_seen_at_once_and_ends_with_its_period() -> None:
    server, namespace = mended(), unique("namespace")
    fields = {"Namespace": namespace, "MetricName": "Errors", "Statistic": "Sum", "Period": 10}
    dimensions = [{"Name": "Endpoint", "Value": "a"}]
    name = put_alarm(server, **fields, Dimensions=dimensions, TreatMissingData="notBreaching")
    assert state(server, name) == "OK"

    put_value(server, namespace, 5)

    assert state(server, name) == "ALARM"
    assert until(lambda: state(server, name), lambda found: found == "OK", timeout_s=25) == "OK"


def test_an_alarm_may_watch_a_rate() -> None:
    server, namespace = mended(), unique("namespace")
    dimensions = [{"Name": "Endpoint", "Value": "a"}]

    def stat(identity: str, metric: str) -> dict[str, Any]:
        found = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
        return {
            "Id": identity,
            "MetricStat": {"Metric": found, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        }

    metrics = [
        {"Id": "rate", "Expression": MATH_TEXT, "ReturnData": True},
        stat("errors", "Errors"),
        stat("calls", "Calls"),
    ]
    name = put_alarm(server, Metrics=metrics, Threshold=50)

    put_value(server, namespace, 10, metric="Calls")
    put_value(server, namespace, 4)
    below = state(server, name)
    put_value(server, namespace, 1)

    assert (below, state(server, name)) == ("OK", "ALARM")


def test_a_change_of_state_is_an_event() -> None:
    server, rule = mended(), unique("rule")
    name = put_alarm(server, Namespace=unique("n"), MetricName="Errors", Statistic="Sum", Period=60)
    url, arn = server.queue(allow_service("events", "sqs:SendMessage"))
    pattern = {"detail-type": ["CloudWatch Alarm State Change"], "detail": {"alarmName": [name]}}
    server.client("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
    server.client("events").put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])

    server.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    detail = json.loads(server.messages(url)[0]["Body"])["detail"]

    assert (detail["state"]["value"], detail["state"]["reason"]) == ("ALARM", "by hand")
    assert detail["previousState"]["value"] == "INSUFFICIENT_DATA"


@pytest.mark.parametrize(
    ("values", "treatment", "needed", "expected"),
    [
        ([2, 2, 2], "missing", 3, "ALARM"),
        ([2, 0, 2], "missing", 3, "OK"),
        ([2, 0, 2], "missing", 2, "ALARM"),
        ([None, None, None], "missing", 3, "INSUFFICIENT_DATA"),
        ([None, None, None], "ignore", 3, "before"),
        ([None, None, None], "breaching", 3, "ALARM"),
        ([None, None, None], "notBreaching", 3, "OK"),
        ([None, 2, None], "missing", 3, "ALARM"),
        ([None, 2, None], "ignore", 3, "before"),
        ([None, 2, None], "breaching", 3, "ALARM"),
        ([None, 2, None], "notBreaching", 3, "OK"),
        ([None, 0, None], "breaching", 3, "OK"),
    ],
)
def test_missing_data(values: list[float | None], treatment: str, needed: int, expected: str) -> None:
    alarm = {
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "DatapointsToAlarm": needed,
        "TreatMissingData": treatment,
        "StateValue": "before",
    }

    assert state_of(alarm, values) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("100 * errors / calls", 20.0),
        ("errors / nothing", None),
        ("errors / zero", None),
        ("FILL(nothing, 0) + errors", 2.0),
        ("IF(calls > 5, errors, 0)", 2.0),
        ("IF(calls > 5 AND errors >= 3, 1, 0)", 0.0),
        ("SUM([errors, calls, nothing])", 12.0),
        ("MAX([errors, calls]) - MIN([errors, calls])", 8.0),
        ("-errors", -2.0),
    ],
)
def test_metric_math(expression: str, expected: float | None) -> None:
    values: dict[str, float | None] = {"errors": 2.0, "calls": 10.0, "zero": 0.0, "nothing": None}

    assert evaluate(expression, values) == expected


@pytest.mark.parametrize(
    "expression", ["__import__('os')", "errors.real", "ANOMALY_DETECTION_BAND(errors)", "1 +"]
)
def test_other_expressions_are_refused(expression: str) -> None:
    with pytest.raises(MathError):
        evaluate(expression, {"errors": 1.0})
