"""What a target is given, exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, allow_service, mended, plain, unique

DETAIL = {"items": [{"name": "first"}], "count": 2, "deep": {"a": "x"}, "who": None}


def delivered(server: Server, **target: Any) -> str:
    """The text that reaches a queue."""
    events, source = server.client("events"), unique("source")
    url, arn = server.queue(allow_service("events", "sqs:SendMessage"))
    rule = unique("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn, **target}])
    events.put_events(Entries=[{"Source": source, "DetailType": "Test", "Detail": json.dumps(DETAIL)}])
    return str(server.messages(url)[0]["Body"])


def transformer(template: str, **paths: str) -> dict[str, Any]:
    return {"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}


INDEXED = transformer('{"name": <name>}', name="$.detail.items[0].name")


def test_ministack_still_cannot_index_an_array() -> None:
    assert json.loads(delivered(plain(), **INDEXED)) == {"name": ""}


@pytest.mark.parametrize(
    ("template", "paths", "expected"),
    [
        ('{"name": <name>}', {"name": "$.detail.items[0].name"}, {"name": "first"}),
        (
            '{"n": <n>, "s": "<n> of <a>"}',
            {"n": "$.detail.count", "a": "$.detail.deep.a"},
            {"n": 2, "s": "2 of x"},
        ),
        ('{"missing": <m>, "quoted": "<m>"}', {"m": "$.detail.nothing"}, {"missing": "", "quoted": ""}),
        ('{"null": <who>, "fixed": null}', {"who": "$.detail.who"}, {"null": None, "fixed": None}),
        ('{"deep": <deep>}', {"deep": "$.detail.deep"}, {"deep": {"a": "x"}}),
        ('{"type": <t>}', {"t": "$.detail-type"}, {"type": "Test"}),
    ],
)
def test_a_template_is_filled(template: str, paths: dict[str, str], expected: Any) -> None:
    assert json.loads(delivered(mended(), **transformer(template, **paths))) == expected


def test_reserved_variables() -> None:
    template = (
        '{"event": <aws.events.event.json>, "envelope": <aws.events.event>, "rule": "<aws.events.rule-name>"}'
    )

    given = json.loads(delivered(mended(), **transformer(template)))

    assert given["event"]["detail"] == DETAIL
    assert given["event"]["detail-type"] == given["envelope"]["detailType"] == "Test"
    assert "detail" not in given["envelope"]
    assert given["rule"].startswith("rule-")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, DETAIL),
        ({"Input": '{"fixed": 1}'}, {"fixed": 1}),
        ({"InputPath": "$.detail.items[0]"}, {"name": "first"}),
    ],
)
def test_other_inputs(target: dict[str, Any], expected: Any) -> None:
    given = json.loads(delivered(mended(), **target))

    assert (given["detail"] if not target else given) == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (transformer('{"a": <unknown>}'), "InputTemplate for target t contains invalid placeholder unknown."),
        ({"Input": "{}", "InputPath": "$"}, "Only one of Input, InputPath, or InputTransformer"),
        ({"Arn": "arn:aws:states:us-east-1:123456789012:stateMachine:m"}, "RoleArn is required for target"),
    ],
)
def test_a_target_that_cannot_work_is_refused(target: dict[str, Any], message: str) -> None:
    server, rule = mended(), unique("rule")
    events = server.client("events")
    events.put_rule(Name=rule, EventPattern='{"source": ["none"]}')
    queue = "arn:aws:sqs:us-east-1:123456789012:none"

    with pytest.raises(ClientError, match=message):
        events.put_targets(Rule=rule, Targets=[{"Id": "t", "Arn": queue, **target}])
