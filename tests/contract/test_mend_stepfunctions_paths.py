"""A JSONPath that selects nothing fails; what the language offers besides works."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mend_servers import mended, plain

from localaws.mends.stepfunctions_paths import is_present


def run_pass(server: Any, fields: dict[str, Any], value: Any) -> Any:
    definition = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True, **fields}}}
    return server.execute(definition, value, role=server.role("states"))


def test_ministack_still_gives_null() -> None:
    done = run_pass(plain(), {"Parameters": {"a.$": "$.missing"}}, {})

    assert json.loads(done["output"]) == {"a": None}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"Parameters": {"a.$": "$.missing"}}, "States.ParameterPathFailure"),
        ({"Parameters": {"deep": {"a.$": "$.b.missing"}}}, "States.ParameterPathFailure"),
        ({"Parameters": {"a.$": "$$.Execution.Missing"}}, "States.ParameterPathFailure"),
        ({"Parameters": {"a.$": "States.Format('{}', $.missing)"}}, "States.IntrinsicFailure"),
        ({"InputPath": "$.missing"}, "States.Runtime"),
        ({"OutputPath": "$.missing"}, "States.Runtime"),
    ],
)
def test_a_missing_path_fails(fields: dict[str, Any], error: str) -> None:
    ended = run_pass(mended(), fields, {"b": {}})

    assert (ended["status"], ended["error"]) == ("FAILED", error)
    assert "issing" in ended["cause"]


def test_null_is_a_value() -> None:
    done = run_pass(mended(), {"Parameters": {"a.$": "$.a", "b.$": "$.list[1]"}}, {"a": None, "list": [1, 2]})

    assert json.loads(done["output"]) == {"a": None, "b": 2}


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"Variable": "$.x", "StringEquals": "a"}, "States.Runtime"),
        ({"Variable": "$.x", "IsPresent": True}, "no"),
        ({"Variable": "$.null", "IsPresent": True}, "yes"),
        ({"And": [{"Variable": "$.x", "IsPresent": True}, {"Variable": "$.x", "StringEquals": "a"}]}, "no"),
    ],
)
def test_choices(rule: dict[str, Any], outcome: str) -> None:
    server = mended()
    definition = {
        "StartAt": "C",
        "States": {
            "C": {"Type": "Choice", "Choices": [{**rule, "Next": "yes"}], "Default": "no"},
            "yes": {"Type": "Pass", "Result": "yes", "End": True},
            "no": {"Type": "Pass", "Result": "no", "End": True},
        },
    }

    ended = server.execute(definition, {"null": None}, role=server.role("states"))

    assert ended.get("error") or json.loads(ended["output"]) == outcome
    assert ended.get("error", outcome) == outcome


def test_context_and_intrinsic_functions() -> None:
    parameters = {
        "id.$": "$$.Execution.Id",
        "name.$": "$$.Execution.Name",
        "input.$": "$$.Execution.Input.s",
        "hash.$": "States.Hash(States.Format('{}/{}', $.s, $$.State.Name), 'SHA-256')",
        "json.$": "States.StringToJson($.j)",
        "text.$": "States.JsonToString($.o)",
        "part.$": "States.ArrayGetItem(States.StringSplit($.s, '-'), 1)",
    }

    done = run_pass(mended(), {"Parameters": parameters}, {"s": "a-b", "j": '{"k": 1}', "o": {"z": [1]}})

    output = json.loads(done["output"])
    assert output["id"] == done["executionArn"]
    assert output["name"] == done["name"]
    assert (output["input"], output["json"], output["text"]) == ("a-b", {"k": 1}, '{"z":[1]}')
    assert output["part"] == "b"
    assert len(output["hash"]) == 64


def test_a_fail_state_takes_its_words_from_the_input() -> None:
    server = mended()
    definition = {"StartAt": "F", "States": {"F": {"Type": "Fail", "ErrorPath": "$.e", "CausePath": "$.c"}}}

    ended = server.execute(definition, {"e": "Own", "c": "why"}, role=server.role("states"))

    assert (ended["error"], ended["cause"]) == ("Own", "why")


@pytest.mark.parametrize(
    ("path", "found"),
    [("$", True), ("$.a[0].b", True), ("$.a[1]", False), ("$['a']", True), ("$.a[*].c", True)],
)
def test_is_present(path: str, found: bool) -> None:
    assert is_present(path, {"a": [{"b": None}]}) is found
