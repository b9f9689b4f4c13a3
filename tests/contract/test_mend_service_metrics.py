"""Failed executions and undelivered events make alarms ring, and the alarms tell their topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from mend_servers import Server, allow_service, mended, plain, unique, until

FAILING = {"StartAt": "Only", "States": {"Only": {"Type": "Fail", "Error": "Planned"}}}


def total(server: Server, namespace: str, metric: str, dimensions: dict[str, str]) -> float:
    now = datetime.now(UTC)
    points = server.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def failures(server: Server) -> float:
    """What AWS/States counts after one execution that fails."""
    execution = server.execute(FAILING, role=server.role("states"))
    machine = {"StateMachineArn": execution["stateMachineArn"]}
    return float(until(lambda: total(server, "AWS/States", "ExecutionsFailed", machine), bool, timeout_s=3))


def queue_name(url: str) -> str:
    return url.rpartition("/")[2]


def test_ministack_still_counts_no_execution_and_no_message() -> None:
    server = plain()
    url, _ = server.queue()
    server.client("sqs").send_message(QueueUrl=url, MessageBody="a")
    name = {"QueueName": queue_name(url)}

    assert failures(server) == 0
    assert total(server, "AWS/SQS", "ApproximateNumberOfMessagesVisible", name) == 0


def test_a_failed_execution_is_counted_by_its_state_machine() -> None:
    assert failures(mended()) == 1


def test_an_event_that_a_target_refuses_rings_the_alarm_and_is_delivered_once_when_it_is_put_again() -> None:
    server = mended()
    dead_url, dead_arn = server.queue(allow_service("events", "sqs:SendMessage"))
    closed_url, closed_arn = server.queue()  # whose policy lets nobody in
    rule, source = unique("rule"), unique("source")
    events, alarms = server.client("events"), server.client("cloudwatch")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    target = {"Id": "closed", "Arn": closed_arn, "DeadLetterConfig": {"Arn": dead_arn}}
    events.put_targets(Rule=rule, Targets=[target])
    topic = server.client("sns").create_topic(Name=unique("alerts"))["TopicArn"]
    told_url, told_arn = server.queue(allow_service("sns", "sqs:SendMessage"))
    server.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=told_arn)
    alarm: dict[str, Any] = {
        "AlarmName": unique("dead-letters"),
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": queue_name(dead_url)}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "AlarmActions": [topic],
    }
    alarms.put_metric_alarm(**alarm)

    events.put_events(Entries=[{"Source": source, "DetailType": "Upload", "Detail": '{"key": "a"}'}])
    (told,) = server.messages(told_url, timeout_s=20)
    (dead,) = server.messages(dead_url)
    open_door = {**allow_service("events", "sqs:SendMessage"), "Resource": closed_arn}
    server.client("sqs").set_queue_attributes(
        QueueUrl=closed_url,
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [open_door]})},
    )
    kept = json.loads(dead["Body"])
    events.put_events(
        Entries=[
            {
                "Source": kept["source"],
                "DetailType": kept["detail-type"],
                "Detail": json.dumps(kept["detail"]),
            }
        ]
    )

    assert json.loads(json.loads(told["Body"])["Message"])["AlarmName"] == alarm["AlarmName"]
    assert json.loads(json.loads(told["Body"])["Message"])["NewStateValue"] == "ALARM"
    delivered = server.messages(closed_url, count=2, timeout_s=3)
    assert [json.loads(message["Body"])["detail"] for message in delivered] == [{"key": "a"}]
