"""Lambda answers with the function's own exception."""

from __future__ import annotations

import json

import pytest
from mend_servers import Server, mended, plain, unique

from localaws.mends import lambda_errors

RAISING = """
class UploadError(Exception):
    pass

calls = 0

def handler(event, context):
    global calls
    calls += 1
    if event.get("fail"):
        raise UploadError("no such thing: " + event["fail"])
    return calls
"""


def invoke(server: Server, source: str, event: object) -> dict[str, object]:
    answer = server.client("lambda").invoke(FunctionName=server.function(source), Payload=json.dumps(event))
    return {"function_error": answer.get("FunctionError"), **json.loads(answer["Payload"].read())}


def test_ministack_still_hides_the_exception() -> None:
    assert invoke(plain(), RAISING, {"fail": "x"})["errorType"] == "Runtime.HandlerError"


def test_an_exception_keeps_its_type_message_and_stack() -> None:
    answer = invoke(mended(), RAISING, {"fail": "x"})

    assert answer["function_error"] == "Unhandled"
    assert answer["errorType"] == "UploadError"
    assert answer["errorMessage"] == "no such thing: x"
    assert "raise UploadError" in str(answer["stackTrace"])
    assert answer["requestId"]


def test_the_environment_lives_on_after_an_exception() -> None:
    client, arn = mended().client("lambda"), mended().function(RAISING)

    for event in ({"fail": "x"}, {"fail": "y"}):
        client.invoke(FunctionName=arn, Payload=json.dumps(event))

    assert json.loads(client.invoke(FunctionName=arn, Payload="{}")["Payload"].read()) == 3


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import nothing_of_this_name", "Runtime.ImportModuleError"),
        ("def other(event, context): pass", "Runtime.HandlerNotFound"),
        ("def handler(:", "Runtime.UserCodeSyntaxError"),
        ("raise ValueError('at import')", "ValueError"),
    ],
)
def test_a_module_that_cannot_start_says_why(source: str, error: str) -> None:
    assert invoke(mended(), source, {})["errorType"] == error


def test_a_function_that_takes_too_long_is_timed_out() -> None:
    source = "import time\ndef handler(event, context): time.sleep(30)"
    arn = mended().function(source, Timeout=1)

    answer = json.loads(mended().client("lambda").invoke(FunctionName=arn)["Payload"].read())

    assert answer["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in answer["errorMessage"]


def test_another_worker_is_refused() -> None:
    with pytest.raises(lambda_errors.WorkerTextError, match="has 0 times"):
        lambda_errors.mended_script(unique("script"))
