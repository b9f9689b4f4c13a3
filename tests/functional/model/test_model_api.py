"""The server against its own OpenAPI document, and under hostile requests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from model_programs import PORT, ROOT, lay_out, wait_for_ping
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# The document cannot say which texts are CSV.
TEXT_CHECKS = [negative_data_rejection, positive_data_acceptance]


@pytest.fixture(scope="module", params=["iris", "diabetes", "penguins"])
def schema(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    """The document that a model's server serves, while it is serving."""
    programs = lay_out(tmp_path_factory.mktemp(request.param), request.param)
    assert programs.run("train")[0] == 0
    with programs.serving(SAGEMAKER_MODEL_SERVER_WORKERS="2"):
        wait_for_ping()
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{PORT}/openapi.json")


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        ("/ping", "GET", GenerationMode.POSITIVE),
        ("/execution-parameters", "GET", GenerationMode.POSITIVE),
        ("/invocations", "POST", GenerationMode.POSITIVE),
        ("/invocations", "POST", GenerationMode.NEGATIVE),
    ],
)
def test_the_server_answers_as_its_document_says(
    schema: BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def answer(case: Case) -> None:
        is_text = case.media_type in ("text/csv", "application/jsonlines")
        case.call_and_validate(excluded_checks=TEXT_CHECKS if is_text else [])

    answer()


def test_hostile_requests_are_refused_and_the_workers_live_on(tmp_path: Path) -> None:
    """Some thousands of what `benchmarks/fuzz.py` sends by the hundred thousand."""
    result = tmp_path / "fuzz.json"
    program = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), "--requests", "4000"]

    done = subprocess.run(
        [*program, "--port", str(PORT), "--result", str(result)], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(result.read_text())
    assert report["requests"] == 4000
    assert {"200", "400"} <= report["statuses"].keys()
