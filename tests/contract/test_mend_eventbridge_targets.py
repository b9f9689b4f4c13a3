"""Targets are reached with a permission, again when they fail, and by way of a dead-letter queue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mend_servers import ACCOUNT, REGION, Server, allow, allow_service, mended, plain, policy, unique, until

from localaws.mends import eventbridge_targets
from localaws.mends.eventbridge_targets import MAX_DELAY_S, delay_s

PASSING = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})


def machine(server: Server) -> str:
    arn: str = server.client("stepfunctions").create_state_machine(
        name=unique("machine"), definition=PASSING, roleArn=server.role("states")
    )["stateMachineArn"]
    return arn


def watch(server: Server, target: dict[str, Any]) -> tuple[str, str]:
    """The ARN of a new rule with the target, and the source of the events it wants."""
    events, source, rule = server.client("events"), unique("source"), unique("rule")
    arn = events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    assert events.put_targets(Rule=rule, Targets=[{"Id": "target", **target}])["FailedEntryCount"] == 0
    return arn, source


def put_event(server: Server, source: str) -> str:
    """The id of an event."""
    entry = {"Source": source, "DetailType": "Test", "Detail": '{"a": 1}'}
    return str(server.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"])


def send(server: Server, target: dict[str, Any]) -> tuple[str, str]:
    """Sends an event to the target; the rule's ARN and the event's id."""
    arn, source = watch(server, target)
    return arn, put_event(server, source)


def executions(server: Server, arn: str, *, timeout_s: float = 5) -> list[dict[str, Any]]:
    states = server.client("stepfunctions")
    found: list[dict[str, Any]] = until(
        lambda: states.list_executions(stateMachineArn=arn)["executions"], bool, timeout_s=timeout_s
    )
    return found


def test_ministack_still_starts_executions_without_a_permission() -> None:
    arn = machine(plain())

    send(plain(), {"Arn": arn, "RoleArn": plain().role("events")})

    assert executions(plain(), arn)


def test_a_state_machine_is_started_in_the_targets_role() -> None:
    server = mended()
    arn = machine(server)
    role = server.role("events", allow("states:StartExecution", resource=arn))

    _, event_id = send(server, {"Arn": arn, "RoleArn": role})

    started = executions(server, arn)
    assert len(started) == 1
    assert started[0]["name"].startswith(event_id)
    described = server.client("stepfunctions").describe_execution(executionArn=started[0]["executionArn"])
    assert json.loads(described["input"])["detail"] == {"a": 1}


@pytest.mark.parametrize("fault", ["no permission", "no trust", "no state machine"])
def test_a_refused_event_goes_to_the_dead_letter_queue_with_the_reason(fault: str) -> None:
    server = mended()
    arn = machine(server)
    role = server.role("events", *([] if fault == "no permission" else [allow("states:StartExecution")]))
    url, queue = server.queue(allow_service("events", "sqs:SendMessage"))
    rule, source = watch(server, {"Arn": arn, "RoleArn": role, "DeadLetterConfig": {"Arn": queue}})
    if fault == "no state machine":
        server.client("stepfunctions").delete_state_machine(stateMachineArn=arn)
    if fault == "no trust":
        trust = policy(allow_service("lambda", "sts:AssumeRole"))
        server.client("iam").update_assume_role_policy(RoleName=role.rsplit("/", 1)[-1], PolicyDocument=trust)

    put_event(server, source)

    message = server.messages(url)[0]
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["detail"] == {"a": 1}
    assert attributes["RULE_ARN"] == rule
    assert attributes["TARGET_ARN"] == arn
    assert attributes["ERROR_CODE"] == ("NO_RESOURCE" if fault == "no state machine" else "NO_PERMISSIONS")
    assert attributes["RETRY_ATTEMPTS"] == "0"


def test_an_undelivered_event_is_counted() -> None:
    server = mended()
    rule, _ = send(server, {"Arn": machine(server), "RoleArn": server.role("events")})
    cloudwatch = server.client("cloudwatch")
    dimensions = [{"Name": "RuleName", "Value": rule.rsplit("/", 1)[-1]}]

    found = until(
        lambda: cloudwatch.list_metrics(Namespace="AWS/Events", Dimensions=dimensions)["Metrics"],
        lambda metrics: len(metrics) >= 2,
    )

    assert {metric["MetricName"] for metric in found} == {"Invocations", "FailedInvocations"}


@pytest.mark.parametrize("permitted", [True, False])
def test_a_function_is_invoked_if_its_policy_lets_the_rule(permitted: bool) -> None:
    server = mended()
    url, _ = server.queue()
    role = server.role("lambda", allow("sqs:SendMessage"))
    source = (
        "import boto3, json\n"
        "def handler(event, context):\n"
        f"    boto3.client('sqs').send_message(QueueUrl='{url}', MessageBody=json.dumps(event['detail']))"
    )
    function = server.function(source, role=role)
    if permitted:
        server.client("lambda").add_permission(
            FunctionName=function,
            StatementId="rule",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/*",
        )

    send(server, {"Arn": function})

    found = server.messages(url, timeout_s=10 if permitted else 3)
    assert [json.loads(message["Body"]) for message in found] == ([{"a": 1}] if permitted else [])


@pytest.mark.parametrize("permitted", [True, False])
def test_a_queue_is_sent_to_if_its_policy_lets_the_rule(permitted: bool) -> None:
    server = mended()
    url, arn = server.queue(*([allow_service("events", "sqs:SendMessage")] if permitted else []))

    send(server, {"Arn": arn})

    assert len(server.messages(url, timeout_s=5 if permitted else 2)) == permitted


@pytest.mark.parametrize("permitted", [True, False])
def test_a_topic_is_published_to_if_its_policy_lets_the_rule(permitted: bool) -> None:
    server = mended()
    topic = server.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    if permitted:
        document = policy({**allow_service("events", "sns:Publish"), "Resource": topic})
        server.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=document
        )
    url, arn = server.queue(allow_service("sns", "sqs:SendMessage"))
    server.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    send(server, {"Arn": topic})

    bodies = [
        json.loads(message["Body"]) for message in server.messages(url, timeout_s=10 if permitted else 2)
    ]
    assert [json.loads(body["Message"])["detail"] for body in bodies] == ([{"a": 1}] if permitted else [])


class Target:
    """A target that fails as often as it is told to, and the time that passes meanwhile."""

    def __init__(self, *, failures: int, retriable: bool = True):
        self.failures, self.retriable = failures, retriable
        self.attempts, self.now_s = 0, 0.0

    def send(self, _: eventbridge_targets.Delivery) -> None:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise eventbridge_targets.DeliveryError("THROTTLING", "slow down", retriable=self.retriable)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def deliver(self, **retry_policy: int) -> None:
        target = {"Arn": "arn:aws:fake:::target", "RetryPolicy": retry_policy}
        rule = {"Name": "rule", "Arn": "arn:aws:events:::rule/rule"}
        delivery = eventbridge_targets.Delivery(target, rule, "id", "{}", "{}")
        eventbridge_targets.SENDERS["fake"] = self.send
        try:
            eventbridge_targets.deliver(delivery, sleep=self.sleep, clock=lambda: self.now_s)
        finally:
            del eventbridge_targets.SENDERS["fake"]


def test_an_outage_is_retried_until_it_ends() -> None:
    target = Target(failures=5)

    target.deliver()

    assert target.attempts == 6


def test_retries_end_with_their_number_or_their_time() -> None:
    few, short, refused = Target(failures=99), Target(failures=999), Target(failures=9, retriable=False)

    few.deliver(MaximumRetryAttempts=3)
    short.deliver(MaximumEventAgeInSeconds=60)
    refused.deliver()

    assert few.attempts == 4
    assert 60 <= short.now_s < 60 + MAX_DELAY_S
    assert refused.attempts == 1


def test_delays_grow_to_a_limit_with_jitter() -> None:
    delays = [delay_s(20) for _ in range(200)]

    assert delay_s(1) <= 1
    assert max(delays) <= MAX_DELAY_S
    assert max(delays) - min(delays) > MAX_DELAY_S / 4
