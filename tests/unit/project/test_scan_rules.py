"""The scan's own rules: what a state machine must say, and that nothing that vanishes goes unseen."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from machine_templates import render

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))

import scan
from checks import definitions

DIGEST = f"registry/iris@sha256:{'0' * 64}"


def machine() -> dict[str, Any]:
    """A definition that breaks no rule: a job, and a function that deploys."""
    bounded = {
        "Type": "Task",
        "TimeoutSeconds": 60,
        "Retry": [{"ErrorEquals": ["A"], "JitterStrategy": "FULL", "MaxAttempts": 3}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "End"}],
        "ResultPath": "$.result",
    }
    job = {
        "AlgorithmSpecification": {"TrainingImage": DIGEST},
        "ResourceConfig": {"VolumeKmsKeyId": "key", "InstanceCount": 1},
        "OutputDataConfig": {"KmsKeyId": "key"},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    serving = {"network_isolation": True, "instance_count": 2, "traffic": {"type": "CANARY"}}
    sagemaker, function = (
        "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "arn:aws:states:::lambda:invoke",
    )
    deploy = {
        "Resource": function,
        "Parameters": {"Payload": {"serving": serving}},
        "ResultSelector": {"a": 1},
    }
    states = {
        "Train": {**bounded, "Resource": sagemaker, "Parameters": job},
        "Deploy": {**bounded, **deploy},
        "End": {"Type": "Succeed"},
    }
    whole = {"TimeoutSeconds": 100, "StartAt": "Train", "States": states}
    return dict(json.loads(json.dumps(whole)))  # nothing is shared by two states


def training(machine: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = machine["States"]["Train"]["Parameters"]
    return parameters


def endpoint(machine: dict[str, Any]) -> dict[str, Any]:
    serving: dict[str, Any] = machine["States"]["Deploy"]["Parameters"]["Payload"]["serving"]
    return serving


RULES = [
    definitions.find_unbounded,
    definitions.find_unprotected_jobs,
    definitions.find_open_traffic,
    definitions.find_moving_images,
    definitions.find_unprotected_endpoints,
    definitions.find_data_in_state,
]


@pytest.mark.parametrize("rule", RULES)
def test_a_sound_definition_breaks_no_rule(rule: Callable[[Any], Any]) -> None:
    assert list(rule(machine())) == []


@pytest.mark.parametrize("rule", [definitions.find_unbounded, definitions.find_data_in_state])
@pytest.mark.parametrize("name", ["retraining", "release"])
def test_our_state_machines_are_bounded_and_small(name: str, rule: Callable[[Any], Any]) -> None:
    assert list(rule(render(name))) == []


def test_the_longest_release_fits_into_a_history() -> None:
    longest_s = 28_800  # as iac/environment takes it
    definition = render("release", timeout_s=longest_s)
    states = definition["States"]

    # It waits a second longer each time, on the way there and, an hour more, on the way back.
    for tick in ("Tick", "RollbackTick"):
        assert states[tick]["Parameters"]["wait_s.$"] == "States.MathAdd($.clock.wait_s, 1)"
    rounds = sum(count_waits(limit_s) for limit_s in (longest_s, longest_s + 3600))
    attempts = 1 + max(
        sum(retrier["MaxAttempts"] for retrier in states[task]["Retry"]) for task in ("Describe", "Rollback")
    )
    # Entered and exited, for a wait, a task, a choice and a tick; each attempt has four events of its own.
    assert rounds * (4 * 2 + attempts * 4) + 1000 < 25_000


def count_waits(limit_s: int) -> int:
    """How often a wait that grows by a second is waited until the limit."""
    elapsed_s, wait_s = 0, 1
    while elapsed_s < limit_s:
        elapsed_s, wait_s = elapsed_s + wait_s, wait_s + 1
    return wait_s - 1


@pytest.mark.parametrize(
    ("damage", "rule", "fault"),
    [
        (
            lambda m: m["States"]["Train"].pop("TimeoutSeconds"),
            definitions.find_unbounded,
            "Train has no TimeoutSeconds",
        ),
        (
            lambda m: m["States"]["Train"]["Retry"][0].pop("JitterStrategy"),
            definitions.find_unbounded,
            "Train is not retried with jitter",
        ),
        (
            lambda m: m["States"]["Train"].pop("Catch"),
            definitions.find_unbounded,
            "Train does not catch States.ALL",
        ),
        (
            lambda m: m.pop("TimeoutSeconds"),
            definitions.find_unbounded,
            "the machine has no TimeoutSeconds",
        ),
        (
            lambda m: training(m)["ResourceConfig"].pop("VolumeKmsKeyId"),
            definitions.find_unprotected_jobs,
            "Train: the volume has no KMS key",
        ),
        (
            lambda m: training(m)["OutputDataConfig"].pop("KmsKeyId"),
            definitions.find_unprotected_jobs,
            "Train: the output has no KMS key",
        ),
        (
            lambda m: training(m).pop("EnableNetworkIsolation"),
            definitions.find_unprotected_jobs,
            "Train: no network isolation",
        ),
        (
            lambda m: training(m).pop("StoppingCondition"),
            definitions.find_unprotected_jobs,
            "Train: no MaxRuntimeInSeconds",
        ),
        (
            lambda m: (
                training(m)["ResourceConfig"].update(InstanceCount=2)
                or training(m).update(EnableInterContainerTrafficEncryption=False)
            ),
            definitions.find_open_traffic,
            "Train: instances talk to each other unencrypted",
        ),
        (
            lambda m: training(m)["AlgorithmSpecification"].update(TrainingImage="repository:latest"),
            definitions.find_moving_images,
            "Train: repository:latest is not named by digest",
        ),
        (
            lambda m: m["States"]["Train"].update(ResultPath="$"),
            definitions.find_data_in_state,
            "Train replaces the whole state by its result",
        ),
        (
            lambda m: m["States"]["Deploy"].pop("ResultSelector"),
            definitions.find_data_in_state,
            "Deploy keeps the whole answer of the function",
        ),
        (
            lambda m: endpoint(m).update(network_isolation=False),
            definitions.find_unprotected_endpoints,
            "Deploy: the model's container reaches the network",
        ),
        (
            lambda m: endpoint(m).update(instance_count=1),
            definitions.find_unprotected_endpoints,
            "Deploy: CANARY of one instance",
        ),
    ],
)
def test_a_damaged_definition_is_found(
    damage: Callable[[Any], Any], rule: Callable[[Any], Any], fault: str
) -> None:
    definition = machine()

    damage(definition)

    assert list(rule(definition)) == [fault]


def check(identifier: str, resource: str = "aws_s3_bucket.a", **more: Any) -> dict[str, Any]:
    return {
        "check_id": identifier,
        "resource": resource,
        "file_path": "/main.tf",
        "check_name": "Ensure it",
        "file_line_range": [3, 9],
        **more,
    }


def report(**results: Any) -> dict[str, Any]:
    return {"summary": {"parsing_errors": 0}, "results": results}


def test_a_report_is_read_into_passes_and_failures_and_a_comment_excuses_nothing() -> None:
    outcome = scan.read_report(
        report(
            passed_checks=[check("CKV_2"), check("CKV_1"), check("CKV_1")],
            failed_checks=[check("CKV_3", details=["no key"])],
            skipped_checks=[check("CKV_4")],
        ),
        "source",
    )["source"]

    assert outcome.passes == {"aws_s3_bucket.a": ["CKV_1", "CKV_2"]}
    assert [str(failure) for failure in outcome.failures] == [
        "CKV_3 aws_s3_bucket.a main.tf:3: Ensure it (no key)",
        "CKV_4 aws_s3_bucket.a main.tf:3: Ensure it",
    ]


def test_what_checkov_finds_by_chance_is_expected_of_the_plans_only() -> None:
    chance = report(passed_checks=[check("CKV_1"), check("CKV2_AWS_40")])

    found = [scan.read_report(chance, target)[target].passes for target in ("source", "plans")]

    assert found == [{"aws_s3_bucket.a": ["CKV_1"]}, {"aws_s3_bucket.a": ["CKV2_AWS_40", "CKV_1"]}]


def test_each_plan_of_one_report_is_judged_by_itself() -> None:
    staging = check("CKV_1", file_abs_path="/build/plans/environment-staging/plan.json")
    core = check("CKV_2", file_abs_path="/build/plans/core/plan.json", file_path="core/keys.tf")

    found = scan.read_report(report(passed_checks=[staging], failed_checks=[core]), "plans")

    assert found["plan-environment-staging"].passes == {"aws_s3_bucket.a": ["CKV_1"]}
    assert [failure.file for failure in found["plan-core"].failures] == ["iac/core/keys.tf"]


def test_every_skip_has_a_reason_and_names_its_resources() -> None:
    skips = scan.read_skips()
    checks = [name for skip in skips for name in skip.checks]

    assert len(checks) == len(set(checks))
    assert all(len(skip.reason) > 40 and "*" not in skip.resources for skip in skips)


def test_every_skip_stands_in_the_documents_table() -> None:
    _, _, section = (scan.ROOT / "docs/infrastructure.md").read_text().partition("## What is scanned\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `CKV")]

    told = {check for row in rows for check in re.findall(r"`(CKV\w+)`", row.split("|")[1])}

    assert told == {check for skip in scan.read_skips() for check in skip.checks}


def test_a_skip_is_for_its_own_resources_only() -> None:
    skip = scan.Skip(("CKV_1",), ("module.access_logs_bucket.*",), "because")
    failures = [
        scan.Failure(name, resource, "Ensure it", "main.tf", 3)
        for name, resource in (
            ("CKV_1", "module.access_logs_bucket.aws_s3_bucket.this"),
            ("CKV_1", "module.data_bucket.aws_s3_bucket.this"),
            ("CKV_2", "module.access_logs_bucket.aws_s3_bucket.this"),
        )
    ]

    assert [scan.find_skip(failure, [skip]) for failure in failures] == [skip, None, None]


def test_the_front_ends_are_told_what_is_open_and_what_is_left_out_with_its_reason() -> None:
    failure = scan.Failure("CKV_1", "aws_s3_bucket.a", "Ensure it", "iac/main.tf", 3)
    skip = scan.Skip(("CKV_1",), ("*",), "because")

    (run,) = scan.to_sarif([(failure, None), (failure, skip)])["runs"]

    assert run["tool"]["driver"]["rules"] == [{"id": "CKV_1"}]
    assert [result["suppressions"] for result in run["results"]] == [
        [],
        [{"kind": "external", "justification": "because"}],
    ]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("iac/main.tf", 3)


def test_a_check_that_vanished_and_one_that_came_are_both_named() -> None:
    told = scan.compare({"a": ["CKV_1", "CKV_3"]}, {"a": ["CKV_1", "CKV_2"]})

    assert told == ["a passes CKV_2 no longer", "a passes CKV_3, which is not expected"]


@pytest.mark.parametrize(
    "empty", [report(), {"summary": {"parsing_errors": 1}, "results": {"parsing_errors": ["main.tf"]}}]
)
def test_a_scan_that_read_nothing_is_no_success(empty: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"checkov (scanned nothing|cannot read)"):
        scan.read_report(empty, "source")


def test_neither_a_checkouts_path_nor_its_commit_has_the_form_of_a_key(tmp_path: Path) -> None:
    key = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=])")
    plans = tmp_path / "plans"
    (plans / "core").mkdir(parents=True)
    commit = f"{'a1' * 20}-dirty"
    (plans / "core" / "plan.json").write_text(json.dumps({"variables": {"commit": {"value": commit}}}))

    # Folders of every length, so that one of them, with what comes before it, makes up the 40.
    copied = [copy for size in range(1, 60) for copy in scan.copy_plans(plans, tmp_path / ("d" * size))]

    assert len(copied) == 59
    assert [str(copy) for copy in copied if key.search(str(copy))] == []
    assert [copy for copy in copied if key.search(copy.read_text().replace("0" * 40, ""))] == []
    assert "0" * 40 in copied[0].read_text()
