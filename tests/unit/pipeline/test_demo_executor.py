from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.demo.executor import Outcome, run_steps, total_waiting, write_record
from pipeline.demo.journey import Facts, Journey, Options, Step, read_type, write_broken_dataset
from pipeline.demo.shell import Command, CommandError, Shell, children_environment, read_env_file
from pipeline.errors import PipelineError, RunError
from pipeline.settings import Settings


def travel(settings: Settings, report: list[str]) -> Journey:
    shell = Shell(settings.checkout, {}, report.append)
    options = Options(runtime="auto", port=1, ask=lambda _evidence: True)
    return Journey(settings, options, shell, Facts(), report.append)


def succeed(_journey: Journey) -> None:
    pass


def fail(_journey: Journey) -> None:
    raise RunError("the endpoint is Failed")


def reject(journey: Journey) -> None:
    journey.facts.rejected = True


def run(settings: Settings, *steps: Step) -> tuple[bool, list[Outcome], list[str]]:
    outcomes: list[Outcome] = []
    lines: list[str] = []
    ok = run_steps(steps, travel(settings, lines), outcomes, clock=iter(range(100)).__next__)
    return ok, outcomes, lines


def test_each_step_is_timed(settings: Settings) -> None:
    ok, outcomes, lines = run(settings, Step("a", "First", succeed), Step("b", "Second", succeed))

    assert ok
    assert outcomes == [Outcome("a", 1, ok=True), Outcome("b", 1, ok=True)]
    assert "-- a: done in 1 s" in lines


def test_the_first_failure_ends_the_demo_with_its_reason(settings: Settings) -> None:
    ok, outcomes, _lines = run(settings, Step("a", "First", fail), Step("b", "Second", succeed))

    assert not ok
    assert outcomes == [Outcome("a", 1, ok=False, error="the endpoint is Failed")]


def test_after_a_rejection_nothing_is_released(settings: Settings) -> None:
    _ok, outcomes, _lines = run(
        settings,
        Step("approval", "Ask", reject),
        Step("release", "Release", fail, needs_approval=True),
        Step("quarantine", "Break", succeed),
    )

    assert [(outcome.name, outcome.ok) for outcome in outcomes] == [("approval", True), ("quarantine", True)]


def test_the_record_says_what_happened(settings: Settings) -> None:
    journey = travel(settings, [])
    journey.facts.runtime, journey.facts.left_over = "process", []
    outcomes = [Outcome("a", 1.5, ok=True), Outcome("b", 2.0, ok=False, error="no")]

    write_record(journey, outcomes, kept=False)

    record: dict[str, Any] = json.loads((settings.build / "demo.json").read_text())
    assert (record["ok"], record["seconds"], record["runtime"], record["left_over"]) == (
        False,
        3.5,
        "process",
        [],
    )
    assert record["steps"][1] == {"name": "b", "seconds": 2.0, "ok": False, "error": "no"}
    assert {"predictions", "quarantined", "kept"} <= set(record)


def test_of_two_stacks_side_by_side_the_longer_wait_counts() -> None:
    facts = Facts()
    facts.provider_waiting_s = {
        "apply core": 12.0,
        "apply environment-staging": 25.0,
        "apply environment-production": 20.0,
        "destroy core": 1.0,
    }

    assert total_waiting(facts) == 38.0


def test_the_children_know_no_other_aws_than_the_local_one(tmp_path: Path) -> None:
    mine = {"PATH": "/bin", "AWS_ACCESS_KEY_ID": "real", "AWS_PROFILE": "real"}

    child = children_environment(mine, commit="abc", build=tmp_path)

    assert child == {
        "PATH": "/bin",
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLOPS_COMMIT": "abc",
        "MLOPS_BUILD_DIR": str(tmp_path),
    }


def test_the_local_aws_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "aws.env").write_text("AWS_REGION=us-east-1\n\nAWS_ENDPOINT_URL=https://127.0.0.1:1\n")

    lines = read_env_file(tmp_path / "aws.env")

    assert lines == {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "https://127.0.0.1:1"}
    with pytest.raises(PipelineError, match="no local AWS was started from here"):
        read_env_file(tmp_path / "absent.env")


def test_a_commands_error_is_its_own_message() -> None:
    said = '  progress\n{"error": {"type": "PlanError", "message": "no saved plan", "exit_code": 6}}'

    error = CommandError(Command(("apply", "core")), 6, said)

    assert str(error) == "`mlops apply core` ended with 6: no saved plan"


def test_a_tracebacks_last_line_is_the_message() -> None:
    error = CommandError(Command(("plan",)), 1, "Traceback\n  File x\nKeyError: 'a'")

    assert str(error) == "`mlops plan` ended with 1: KeyError: 'a'"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("aws_kms_key.data", "aws_kms_key"),
        ('module.functions.module.role["claim"].aws_iam_role.this', "aws_iam_role"),
        ('module.functions.aws_lambda_function.this["claim"]', "aws_lambda_function"),
    ],
)
def test_a_resources_type_is_read_from_its_address(address: str, expected: str) -> None:
    assert read_type(address) == expected


def test_the_broken_dataset_has_a_word_for_a_number(tmp_path: Path) -> None:
    source = tmp_path / "train.csv"
    source.write_text("a,b\n1,2\n3,4\n5,6\n7,8\n")

    write_broken_dataset(source, tmp_path / "demo" / "broken.csv")

    assert (tmp_path / "demo" / "broken.csv").read_text() == "a,b\n1,2\n3,4\na lot,6\n7,8\n"
