"""Both state machines by their definition: bounded, retried, caught, reachable, and true to the handlers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from machine_templates import render, targets, tasks

MACHINES = ["retraining", "release"]
LAMBDA = "arn:aws:states:::lambda:invoke"
GATE = "arn:aws:states:::lambda:invoke.waitForTaskToken"
SIZE_LIMIT_BYTES = 1024 * 1024


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> dict[str, Any]:
    return render(request.param)


def texts(value: Any) -> list[str]:
    """Every string in a definition."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_every_state_is_reached_and_every_target_exists(machine: dict[str, Any]) -> None:
    states = machine["States"]
    reached, waiting = set(), [machine["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(targets(states[name]))

    assert reached == set(states)


def test_every_task_is_bounded_retried_with_jitter_and_caught(machine: dict[str, Any]) -> None:
    for name, task in tasks(machine).items():
        assert task["TimeoutSeconds"] > 0, name
        assert task["Retry"], name
        for retrier in task["Retry"]:
            assert retrier["JitterStrategy"] == "FULL", name
            assert retrier["BackoffRate"] > 1, name
            assert retrier["MaxDelaySeconds"] <= 60, name
            assert 0 < retrier["MaxAttempts"] <= 100, name
            assert "States.ALL" not in retrier["ErrorEquals"], f"{name} would repeat refusals"
        assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name


def test_every_state_ends_or_goes_on(machine: dict[str, Any]) -> None:
    for name, state in machine["States"].items():
        assert list(targets(state)) or state["Type"] in ("Succeed", "Fail"), name


def test_a_machine_is_bounded_and_small(machine: dict[str, Any]) -> None:
    longest = max(task["TimeoutSeconds"] for task in tasks(machine).values())

    assert machine["TimeoutSeconds"] > longest
    assert len(json.dumps(machine)) < SIZE_LIMIT_BYTES


def test_lambda_results_are_selected_so_that_the_state_stays_small(machine: dict[str, Any]) -> None:
    for name, task in tasks(machine).items():
        if task["Resource"] == LAMBDA:
            assert task["ResultSelector"], name
        assert task["ResultPath"] != "$", name


def test_only_jsonpath_is_used(machine: dict[str, Any]) -> None:
    assert "QueryLanguage" not in machine
    assert not [text for text in texts(machine) if text.startswith("{%")]


ALWAYS_THERE = {
    "$.error.Error",
    "$.found.TrainingJobStatus",
    "$.found.AppSpecification.ImageUri",
    "$.found.ProcessingJobStatus",
}


def unguarded(rule: dict[str, Any], present: frozenset[str] = frozenset()) -> list[str]:
    """What a rule compares without having asked whether it is there."""
    found = []
    for part in [*rule.get("And", []), *rule.get("Or", []), *filter(None, [rule.get("Not")])]:
        found += unguarded(part, present)
        if "And" in rule and part.get("IsPresent"):
            present |= {part["Variable"]}
    compared = {rule["Variable"]} - present if "Variable" in rule and "IsPresent" not in rule else ()
    return [*found, *compared]


def test_what_aws_may_leave_out_is_compared_only_where_it_is_there(machine: dict[str, Any]) -> None:
    """A Choice that looks at what is missing ends the execution, past every Catch."""
    rules = [rule for state in machine["States"].values() for rule in state.get("Choices", [])]
    told_by_aws = ("$.error.", "$.found.")

    compared = {variable for rule in rules for variable in unguarded(rule)}
    assert {variable for variable in compared if variable.startswith(told_by_aws)} <= ALWAYS_THERE


def test_every_fail_state_says_why(machine: dict[str, Any]) -> None:
    for name, state in machine["States"].items():
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["CausePath"] in ("$.recorded.reason", "States.JsonToString($.error)"), name


@pytest.mark.parametrize(
    ("name", "handler", "keys"),
    [
        ("Claim", "claim", {"model", "execution_arn", "event"}),
        ("Validate", "validate", {"run_id", "model", "bucket", "key", "version_id"}),
        ("Judge", "judge", {"run_id", "model", "evaluation_uri", "model_uri"}),
        ("Gate", "open_gate", {"run_id", "model_package_arn", "smoke", "task_token"}),
        ("Record", "record", {"run_id", "end", "execution_arn", "entry_id", "since"}),
    ],
)
def test_retraining_calls_its_functions_with_what_they_take(name: str, handler: str, keys: set[str]) -> None:
    parameters = render("retraining")["States"][name]["Parameters"]

    assert parameters["FunctionName"] == f"{handler}_function_arn"
    assert {key.removesuffix(".$") for key in parameters["Payload"]} == keys


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Authorise", {"model_package_arn", "execution_arn", "model", "endpoint_name", "serving"}),
        ("Deploy", {"release", "execution_arn", "serving"}),
        ("Smoke", {"release", "golden_uri"}),
        ("Rollback", {"release", "execution_arn", "serving"}),
        ("Scale", {"release", "serving"}),
        ("Record", {"run_id", "end", "execution_arn", "entry_id", "since"}),
    ],
)
def test_release_calls_its_functions_with_what_they_take(name: str, keys: set[str]) -> None:
    parameters = render("release")["States"][name]["Parameters"]

    assert parameters["FunctionName"] == f"{name.lower()}_function_arn"
    assert {key.removesuffix(".$") for key in parameters["Payload"]} == keys


def test_jobs_run_isolated_by_digest_under_the_runs_name() -> None:
    states = render("retraining", training_image="repo@sha256:1", serving_image="repo@sha256:2")["States"]

    train, evaluate = states["Train"]["Parameters"], states["Evaluate"]["Parameters"]
    assert train["AlgorithmSpecification"]["TrainingImage"] == "repo@sha256:1"
    assert evaluate["AppSpecification"] == {"ImageUri": "repo@sha256:2", "ContainerEntrypoint": ["evaluate"]}
    assert train["EnableNetworkIsolation"] is train["EnableInterContainerTrafficEncryption"] is True
    assert evaluate["NetworkConfig"] == {
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
    }
    assert train["TrainingJobName.$"] == evaluate["ProcessingJobName.$"] == "$.attempt.job_name"
    assert states["PlanTraining"]["Parameters"] == {"number": 1, "job_name.$": "$.claim.job_name"}
    assert states["Train"]["TimeoutSeconds"] > train["StoppingCondition"]["MaxRuntimeInSeconds"]


def test_a_candidate_is_registered_once_and_pending_with_its_lineage() -> None:
    request = render("retraining")["States"]["Register"]["Parameters"]

    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    assert request["ClientToken.$"] == "States.Hash($.claim.job_name, 'MD5')"
    assert {key.removesuffix(".$") for key in request["CustomerMetadataProperties"]} == {
        "run_id",
        "commit",
        "image_digest",
        "training_image_digest",
        "model_sha256",
        "evaluation_sha256",
        "evaluation_uri",
        "dataset_bucket",
        "dataset_uri",
        "dataset_version_id",
        "dataset_sha256",
        "execution_arn",
        "training_job",
    }


@pytest.mark.parametrize(
    ("job", "noun", "key"), [("Train", "Training", "training"), ("Evaluate", "Evaluation", "evaluation")]
)
def test_a_job_is_tried_again_under_a_fresh_name_for_what_passes_by_itself(
    job: str, noun: str, key: str
) -> None:
    states = render("retraining", **{f"{key}_attempts": 4})["States"]

    (rule,) = states[f"May{job}Again"]["Choices"]
    assert states[job]["Catch"][-1]["Next"] == f"May{job}Again"
    assert rule["And"][0] == {"Variable": "$.attempt.number", "NumericLessThan": 4}
    assert states[f"May{job}Again"]["Default"] == "ReportFailed"
    again = states[rule["Next"]]
    assert "States.MathAdd($.attempt.number, 1)" in again["Parameters"]["job_name.$"]
    assert again["Parameters"]["wait_s.$"].startswith("States.MathRandom(")
    assert states[again["Next"]] == {"Type": "Wait", "SecondsPath": "$.attempt.wait_s", "Next": job}


def test_an_unanswered_gate_rejects_the_package_and_expires() -> None:
    states = render("retraining", approval_timeout_s=60)["States"]

    gate = states["Gate"]
    assert (gate["Resource"], gate["TimeoutSeconds"]) == (GATE, 60)
    assert gate["Catch"][0]["ErrorEquals"] == ["States.Timeout"]
    assert gate["Catch"][0]["Next"] == "ExpirePackage"
    assert states["ExpirePackage"]["Parameters"]["ModelApprovalStatus"] == "Rejected"
    assert states["ExpirePackage"]["Next"] == "ReportExpired"


@pytest.mark.parametrize("name", ["Deploy", "Describe", "Smoke", "Scale"])
def test_whatever_fails_after_the_decision_is_rolled_back(name: str) -> None:
    states = render("release")["States"]

    assert states[name]["Catch"][-1]["Next"] == "StartRollback"


def test_jobs_enter_the_network_and_encrypt_their_volumes_where_terraform_says_so() -> None:
    vpc = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    states = render(
        "retraining",
        vpc_config=f'"VpcConfig": {json.dumps(vpc)},',
        training_volume_key='"VolumeKmsKeyId": "key",',
        evaluation_volume_key='"VolumeKmsKeyId": "key",',
    )["States"]

    train, evaluate = states["Train"]["Parameters"], states["Evaluate"]["Parameters"]
    assert train["VpcConfig"] == evaluate["NetworkConfig"]["VpcConfig"] == vpc
    assert train["ResourceConfig"]["VolumeKmsKeyId"] == "key"
    assert evaluate["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == "key"


def test_what_serves_after_a_rollback_scales_again_or_somebody_hears_of_it() -> None:
    states = render("release")["States"]

    settled = states["IsBack"]["Choices"][0]
    assert (settled["Variable"], settled["Next"]) == ("$.rollback.settled", "ScaleAgain")
    assert states["ScaleAgain"]["Parameters"]["FunctionName"] == "scale_function_arn"
    assert states["ScaleAgain"]["Next"] == "ReportFailed"
    assert states["ScaleAgain"]["Catch"][-1]["Next"] == "ReportRollbackFailed"


def test_a_refusal_touches_nothing() -> None:
    states = render("release")["States"]

    after, seen = ["ReportRefused"], set()
    while after:
        name = after.pop()
        seen.add(name)
        after.extend(target for target in targets(states[name]) if target not in seen)

    assert states["Authorise"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "ReportRefused"}
    ]
    assert not seen & {"Deploy", "Rollback", "StartRollback"}


def test_the_wait_for_the_endpoint_is_bounded_inside_the_machine() -> None:
    machine = render("release", timeout_s=300)
    states = machine["States"]

    for choice, bound, end in (("IsInService", 300, "TimedOut"), ("IsBack", 3900, "RollbackTimedOut")):
        rule = {"Variable": "$.clock.elapsed_s", "NumericGreaterThanEquals": bound, "Next": end}
        assert rule in states[choice]["Choices"]
    assert states["Tick"]["ResultPath"] == "$.clock"
    assert machine["TimeoutSeconds"] > 300 + 3900


def test_the_longest_waits_fit_into_the_history() -> None:
    elapsed_s, wait_s, polls = 0, 1, 0
    while elapsed_s < 28_800 + 3600:
        elapsed_s, wait_s, polls = elapsed_s + wait_s, wait_s + 1, polls + 1

    # On the way there and on the way back, each poll is a Wait, a Task, a Choice and a Pass: eleven events.
    assert 2 * polls * 11 < 25_000


def test_retraining_outwaits_the_release_it_starts() -> None:
    longest_s = render("release", timeout_s=28_800)["TimeoutSeconds"]

    assert render("retraining")["States"]["Stage"]["TimeoutSeconds"] > longest_s
