"""Our server as a member of an inference pipeline: SageMaker hands each answer to the next container."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from model_programs import Programs, lay_out, wait_for_ping
from ports import free_port

STAGE = Path(__file__).with_name("pipeline_stage.py")
FORM = {"sepal_length": 50, "sepal_width": 34, "petal_length": 15, "petal_width": 2}
OTHER = {"sepal_length": 63, "sepal_width": 33, "petal_length": 60, "petal_width": 25}
FLOWERS = json.dumps({"in_mm": [FORM, OTHER]}).encode()


def hand_through(ports: Sequence[int], content_type: str, body: bytes) -> tuple[str, bytes]:
    """What SageMaker does with a request: body and Content-Type of each answer go to the next container."""
    for port in ports:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/invocations", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        content_type, body = answer.headers["Content-Type"], answer.read()
        connection.close()
        assert answer.status == 200, (port, body)
    return content_type, body


@contextmanager
def stage(role: str, port: int) -> Iterator[None]:
    environ = {"SAGEMAKER_BIND_TO_PORT": str(port), "BIND_HOST": "127.0.0.1"}
    process = subprocess.Popen([sys.executable, str(STAGE), role], env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_for_ping(port=port)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    programs = lay_out(tmp_path_factory.mktemp("pipeline"), "iris")
    code, output = programs.run("train")
    assert code == 0, output
    return programs


def test_it_takes_what_the_container_before_sends_and_sends_what_the_next_one_takes(
    trained: Programs,
) -> None:
    before, ours, after = (free_port() for _ in range(3))
    variables = {
        "SAGEMAKER_BIND_TO_PORT": str(ours),
        "SAGEMAKER_SAFE_PORT_RANGE": f"{min(before, ours, after)}-{max(before, ours, after)}",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
    }
    with ExitStack() as stack:
        stack.enter_context(stage("before", before))
        stack.enter_context(trained.serving(**variables))
        stack.enter_context(stage("after", after))
        wait_for_ping(port=ours)

        as_second_of_two = hand_through([before, ours], "application/json", FLOWERS)
        as_second_of_three = hand_through([before, ours, after], "application/json", FLOWERS)

    assert as_second_of_two == ("text/csv", b"setosa\nvirginica\n")
    assert as_second_of_three == ("text/plain", b"a setosa and a virginica")


def test_as_the_first_of_two_it_sends_the_form_that_its_variables_name(trained: Programs) -> None:
    ours = free_port()
    variables = {
        "SAGEMAKER_BIND_TO_PORT": str(ours),
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/jsonlines",
        "SAGEMAKER_INFERENCE_OUTPUT": "predicted_label",
    }
    with trained.serving(**variables):
        wait_for_ping(port=ours)

        content_type, body = hand_through([ours], "text/csv", b"5,3.4,1.5,0.2\n6.3,3.3,6,2.5")

    assert content_type == "application/jsonlines"
    assert [json.loads(line) for line in body.splitlines()] == [
        {"predicted_label": "setosa"},
        {"predicted_label": "virginica"},
    ]
