"""A policy that denies plain HTTP keeps no service out."""

from __future__ import annotations

import json

from mend_servers import allow_service, mended, unique
from ministack.core.iam_evaluator import EvalContext

DENY_PLAIN_HTTP = {
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": "sqs:*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def test_ministack_still_takes_for_plain_http_what_no_request_has_begun() -> None:
    context = EvalContext("*", "Service", "", "sqs:SendMessage", "*", "us-east-1")

    assert not context.secure_transport


def test_an_event_that_nobody_takes_reaches_a_queue_that_denies_plain_http() -> None:
    server = mended()
    events, source, rule = server.client("events"), unique("source"), unique("rule")
    url, queue = server.queue(allow_service("events", "sqs:SendMessage"), DENY_PLAIN_HTTP)
    nobody = f"arn:aws:lambda:us-east-1:123456789012:function:{unique('nobody')}"
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    target = {"Id": "target", "Arn": nobody, "DeadLetterConfig": {"Arn": queue}}
    events.put_targets(Rule=rule, Targets=[target])

    events.put_events(Entries=[{"Source": source, "DetailType": "Test", "Detail": "{}"}])

    (message,) = server.messages(url, timeout_s=60)
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_RESOURCE"
