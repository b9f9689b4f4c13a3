"""The Jenkinsfile, run by a model of Jenkins's declarative pipelines; and each safeguard taken out once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from front_ends import (
    DELIVERY,
    FAILING,
    MAKE,
    MLOPS,
    PLANS,
    ROOT,
    SECRET,
    UNTIL_SCAN,
    Bench,
    compare_calls,
    make_bench,
    run_groovy,
)

SOURCE = (ROOT / "Jenkinsfile").read_text()
GATES = [f"Apply this plan of {name}?" for name in ("core", "staging", "production")]
# A name is never a command: this one would leave a file behind if it were.
HOSTILE = 'bob"; touch stolen; echo "$(touch stolen)'
BOB = {"by": "bob", "groups": ["mlops-approvers"]}
# Each gate is answered by another person, so that none is taken for another.
APPROVERS = dict(zip(PLANS, ("bob", "dora", "eve"), strict=True))
ANSWERS = {
    gate: {"by": approver, "groups": ["mlops-approvers"]}
    for gate, approver in zip(GATES, APPROVERS.values(), strict=True)
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "happy": {"answers": ANSWERS},
    "branch": {"environ": {"BRANCH_NAME": "feature"}},
    "unanswered": {"answers": {GATES[0]: BOB, GATES[1]: BOB}},
    "stranger": {"answers": {GATES[0]: {"by": "mallory", "groups": ["everybody"]}}},
    **{f"{call} fails": {"answers": ANSWERS, "fail": call} for call in FAILING},
    "hostile": {"answers": {GATES[0]: {"by": HOSTILE, "groups": ["mlops-approvers"]}}},
}


def replace(old: str, new: str, *, count: int = 1) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, count)

    return change


def swap(one: str, other: str) -> Callable[[str], str]:
    """Two stages in each other's place."""

    def change(text: str) -> str:
        first, second = (cut_stage(text, name) for name in (one, other))
        return text.replace(first, "@").replace(second, first).replace("@", second)

    return change


def cut_stage(text: str, name: str) -> str:
    begin = text.index(f"    stage('{name}') {{")
    return text[begin : text.index("\n    }\n", begin) + len("\n    }\n")]


def in_stage(name: str, old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        stage = cut_stage(text, name)
        assert old in stage, old
        return text.replace(stage, stage.replace(old, new))

    return change


def without_gate(name: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        stage = cut_stage(text, name)
        begin = stage.index("      input {")
        end = stage.index("      }\n", begin) + len("      }\n")
        return text.replace(stage, stage[:begin] + stage[end:])

    return change


# What shows a mutant where it is not the happy way.
SHOWN_BY = {
    "scan swallowed": "make scan fails",
    "scan's failure caught": "make scan fails",
    "anybody may answer": "stranger",
    "wrong submitter": "stranger",
    "test's failure caught in a script": "make test fails",
    "name taken for a command": "hostile",
    "branches deliver": "branch",
    "branches are asked": "branch",
}
MUTANTS: dict[str, Callable[[str], str]] = {
    "gate removed": without_gate("Approval of production"),
    "gate of staging removed": without_gate("Approval of staging"),
    "scan swallowed": replace("sh 'make scan'", "sh 'make scan || true'"),
    "scan's failure caught": replace("sh 'make scan'", "catchError { sh 'make scan' }"),
    "test left out": lambda text: text.replace(cut_stage(text, "Test"), ""),
    "scan after the plan": swap("Scan", "Plan core"),
    "push before core": swap("Core", "Images"),
    "apply before the approval": in_stage("Core", "approve core", "apply core"),
    "anybody may answer": in_stage("Approval of production", "        submitter 'mlops-approvers'\n", ""),
    "wrong submitter": in_stage(
        "Approval of production", "submitter 'mlops-approvers'", "submitter 'everybody'"
    ),
    "submitter not passed on": in_stage("Approval of core", "        submitterParameter 'APPROVER'\n", ""),
    "approver made up": in_stage("Core", '--by "$CORE_APPROVER"', "--by release-bot"),
    "another plan applied": in_stage("Production", '--plan "$PRODUCTION_PLAN"', '--plan "$STAGING_PLAN"'),
    "the latest plan applied": in_stage("Core", 'apply core --plan "$CORE_PLAN"', "apply core"),
    "name taken for a command": in_stage(
        "Core", '--by "$CORE_APPROVER"', '--by "$(eval echo $CORE_APPROVER)"'
    ),
    "another gate's approver": in_stage("Staging", "STAGING_APPROVER", "CORE_APPROVER"),
    "planned with the apply role": in_stage("Plan core", "mlops-ci-plan", "mlops-ci-apply"),
    "applied with the approver's role": in_stage("Staging", "mlops-ci-apply", "mlops-ci-approve"),
    "branches deliver": in_stage("Plan core", "      when { beforeAgent true; branch 'main' }\n", ""),
    "branches are asked": in_stage("Approval of core", "beforeInput true; ", ""),
    "builds side by side": replace("    disableConcurrentBuilds()\n", ""),
    "no limit of time": replace("    timeout(time: 96, unit: 'HOURS')\n", ""),
    "a gate without end": in_stage(
        "Approval of production", "      options { timeout(time: 24, unit: 'HOURS') }\n", ""
    ),
    "an executor waits": replace("  agent none\n", "  agent { label 'mlops' }\n"),
    "images not handed on": replace("        stash name: 'images', includes: 'build/image/*.json'\n", ""),
    "plan not kept": in_stage("Plan production", "        archiveArtifacts", "        // archiveArtifacts"),
    "unknown step": replace("sh 'make test'", "bash 'make test'"),
    "unknown section": replace("  options {\n    disable", "  optons {\n    disable"),
    "code among the steps": replace("sh 'make test'", "if (true) { sh 'make test' }"),
    "doubled stage": replace("stage('Scan')", "stage('Test')"),
    "agent missing": replace("  agent none\n", ""),
    "empty steps": replace("        sh 'make test'\n", ""),
    "misspelt condition": in_stage("Core", "branch 'main'", "brunch 'main'"),
    "check swallowed": replace("sh 'make check'", "sh 'make check || true'"),
    "test swallowed": replace("sh 'make test'", "sh 'make test || true'"),
    "test's failure caught in a script": replace(
        "sh 'make test'", "script { try { sh 'make test' } catch (error) { } }"
    ),
    "approval swallowed": in_stage("Staging", '--reason "$BUILD_TAG"\'', '--reason "$BUILD_TAG" || true\''),
    "status taken for an answer": in_stage(
        "Scan", "sh 'make scan'", "sh script: 'make scan', returnStatus: true"
    ),
    "environment printed": in_stage(
        "Production", "sh 'make setup'", "sh 'make setup; env; cat ~/.aws/config'"
    ),
    "environment printed from a script": in_stage("Plan core", "script { ", "script { sh 'env'; "),
    "a newer build cuts off an apply": replace(
        "disableConcurrentBuilds()", "disableConcurrentBuilds(abortPrevious: true)"
    ),
    "a gate open for months": in_stage("Approval of production", "time: 24", "time: 2400"),
    "people's time is the apply's": in_stage(
        "Core", "      steps {", "      input { message 'Now?' }\n      steps {"
    ),
    "less time than its stages": replace("time: 96", "time: 72"),
    "an apply is repeated": in_stage("Production", "unit: 'MINUTES') }", "unit: 'MINUTES'); retry(3) }"),
    "an apply after a failure": in_stage(
        "Core", "      steps {", "      post { failure { sh '.venv/bin/mlops apply core' } }\n      steps {"
    ),
    "any branch but one": in_stage("Production", "branch 'main'", "not { branch 'feature' }"),
    "a branch holds an agent": in_stage("Core", "beforeAgent true; ", ""),
    "a role for the build": in_stage(
        "Images", "      steps {", "      environment { AWS_PROFILE = 'mlops-ci-apply' }\n      steps {"
    ),
    "findings not kept": replace(
        "archiveArtifacts artifacts: 'build/scan/*.sarif', allowEmptyArchive: true", "echo 'x'"
    ),
    "manifest not kept": in_stage("Plan production", ",build/plans/environment-production/manifest.json", ""),
    "broken syntax": replace("stage('Scan') {", "stage('Scan' {"),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is wrong with the Jenkinsfile and with each mutant of it; one Groovy runs them all."""
    folder = tmp_path_factory.mktemp("jenkins")
    texts = {"": SOURCE} | {name: change(SOURCE) for name, change in MUTANTS.items()}
    benches = {name: make_bench(folder / str(index)) for index, name in enumerate(texts)}
    runs = [
        write_run(benches[name], text, scenarios=[SHOWN_BY.get(name, "happy")] if name else list(SCENARIOS))
        for name, text in texts.items()
    ]
    answers = run_groovy(folder, runs)
    return {name: judge(benches[name], answer) for name, answer in zip(texts, answers, strict=True)}


def write_run(bench: Bench, text: str, *, scenarios: list[str]) -> dict[str, Any]:
    file = bench.folder / "Jenkinsfile"
    file.write_text(text)
    given_scenarios = []
    for name in scenarios:
        given = SCENARIOS[name]
        place = bench.folder / f"{name}.d"
        place.mkdir()
        environ = bench.environ(name, fail=given.get("fail", "")) | given.get("environ", {})
        given_scenarios.append(
            {
                "name": name,
                "environ": environ,
                "answers": given.get("answers", {}),
                "folder": str(place),
                "source": str(bench.source),
            }
        )
    return {"file": str(file), "scenarios": given_scenarios}


def judge(bench: Bench, answer: dict[str, Any]) -> list[str]:
    """Everything that is wrong, in words."""
    if "invalid" in answer:
        return [f"invalid: {answer['invalid']}"]
    outcomes = {outcome["name"]: outcome for outcome in answer["outcomes"]}
    problems = judge_model(answer["model"])
    for name, outcome in outcomes.items():
        problems += judge_delivery(bench, outcome) if name == "happy" else judge_stop(bench, outcome)
        problems += judge_steps(outcome["events"])
    return problems


# What may be declared, and nothing else. A stage of checks, one that works, and one in which people answer.
OPTIONS = {"disableConcurrentBuilds": True, "timeout": {"time": 96, "unit": "HOURS"}, "buildDiscarder": True}
GATE = {"message", "ok", "submitter", "submitterParameter"}
ON_MAIN = {"branch": "main"}
STEPS = {"archiveArtifacts", "readFile", "script", "sh", "stash", "unstash"}
COMMAND = re.compile(rf"{MAKE}|(?:AWS_PROFILE=mlops-[a-z-]+ )?{MLOPS}")
KEPT = {"build/image/iris-serving.json", "build/scan/checkov.sarif"} | {
    f"build/plans/{stack}/{file}" for stack in PLANS.values() for file in ("summary.md", "manifest.json")
}


def judge_model(model: dict[str, Any]) -> list[str]:
    declared = [
        ("its agent", model["agent"], "none"),
        ("its sections", sorted(model["sections"]), ["agent", "environment", "options", "stages"]),
        ("its options", model["options"], OPTIONS),
        ("its environment", model["environment"], {"TF_IN_AUTOMATION": "1"}),
    ]
    for stage in model["stages"]:
        declared += [(f"{stage['name']}: {what}", is_, wanted) for what, is_, wanted in judge_stage(stage)]
    problems = [f"{what} is {is_}, not {wanted}" for what, is_, wanted in declared if is_ != wanted]
    needed_h = sum(hours(stage["options"].get("timeout")) for stage in model["stages"])
    if needed_h > hours(model["options"].get("timeout")):
        problems.append(f"its stages may take {needed_h} hours, and it may not")
    return problems


def judge_stage(stage: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What is declared of a stage: what, as it is, and as it should be."""
    name, gate, timeout = stage["name"], stage["input"], stage["options"].get("timeout")
    is_check = name in ("Check", "Test", "Scan")
    profile = {"AWS_PROFILE": "mlops-ci-plan"} if name.startswith("Plan ") else {}
    when = {} if is_check else ON_MAIN | {"beforeInput" if gate else "beforeAgent": True}
    found = [
        ("its options", set(stage["options"]), {"timeout"}),
        ("its agent", stage["agent"], None if gate else "some"),
        ("its environment", stage["environment"], profile),
        ("its condition", stage["when"], when),
        ("what comes after it", stage["post"], ["always"] if name == "Scan" else []),
    ]
    if not gate:
        return [*found, ("being over in five hours", 0 < hours(timeout) < 5, True)]
    return [
        *found,
        ("being answered in a day", hours(timeout), 24),
        ("its gate", set(gate), GATE),
        ("who may answer, and how", (gate.get("submitter"), gate.get("ok")), ("mlops-approvers", "Apply")),
    ]


def hours(timeout: dict[str, Any] | None) -> float:
    return timeout["time"] / {"MINUTES": 60, "HOURS": 1}[timeout["unit"]] if timeout else 0


def judge_steps(events: list[dict[str, Any]]) -> list[str]:
    """What was done by the way, and should not be."""
    problems = [f"a step {event['step']}" for event in events if event.get("step", "sh") not in STEPS]
    problems += [
        f"a script with {event['step']}"
        for event in events
        if event.get("script") and event["step"] != "readFile"
    ]
    for event in events:
        if "sh" in event and (event["options"] or not COMMAND.fullmatch(event["sh"])):
            problems.append(f"not one of our commands alone: {event['sh']} {event['options']}")
        if SECRET in event.get("log", ""):
            problems.append(f"{event['sh']} printed a secret")
    return problems


def judge_delivery(bench: Bench, outcome: dict[str, Any]) -> list[str]:
    problems = compare_calls(bench.calls("happy"), DELIVERY, approvers=APPROVERS, build="jenkins-mlops-1")
    events = outcome["events"]
    if outcome["result"] != "SUCCESS":
        problems.append(f"ended as {outcome['result']}: {events[-1]}")
    archived = {file for event in events for file in event.get("archived", [])}
    if archived != KEPT:
        problems.append(f"archived is not {archived ^ KEPT}, or should not be")
    if any(event.get("holding") for event in events):
        problems.append("a gate holds an executor")
    return problems


# Where each scenario has to end, and with which call.
ENDS = {
    "branch": ("SUCCESS", UNTIL_SCAN[-1]),
    "unanswered": ("ABORTED", "mlops plan --env production"),
    "stranger": ("ABORTED", "mlops plan core"),
    **{f"{call} fails": ("FAILURE", call) for call in FAILING},
    "hostile": ("ABORTED", "mlops plan --env staging"),
}


def judge_stop(bench: Bench, outcome: dict[str, Any]) -> list[str]:
    name, calls = outcome["name"], bench.calls(outcome["name"])
    result, last = ENDS[name]
    problems = []
    if outcome["result"] != result:
        problems.append(f"{name}: ended as {outcome['result']}, not {result}")
    if not calls or not " ".join(calls[-1]["call"]).startswith(last):
        problems.append(f"{name}: went on to {calls[-1]['call'] if calls else 'nothing'}, not to {last}")
    if name == "branch" and any("gate" in event for event in outcome["events"]):
        problems.append("a branch asks people")
    if name == "hostile":
        approvals = [call["call"] for call in calls if call["call"][1] == "approve"]
        if not approvals or HOSTILE not in approvals[0]:
            problems.append("the hostile name was not passed on as it stands")
        if list(bench.folder.rglob("stolen")):
            problems.append("the hostile name was run")
    return problems


def test_it_does_what_it_should(judged: dict[str, list[str]]) -> None:
    assert judged[""] == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(judged: dict[str, list[str]], name: str) -> None:
    assert judged[name], f"nobody notices: {name}"


def test_drift_is_looked_for_every_morning_by_who_only_reads(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench")
    text = (ROOT / "Jenkinsfile.drift").read_text()
    run = write_run(bench, text, scenarios=["happy"])

    (answer,) = run_groovy(tmp_path, [run])

    (call,) = bench.calls("happy")
    assert answer["outcomes"][0]["result"] == "SUCCESS"
    assert (call["call"], call["role"]) == (["make", "drift"], "mlops-ci-plan")
    assert {"disableConcurrentBuilds", "timeout"} <= set(answer["model"]["options"])
    assert judge_steps(answer["outcomes"][0]["events"]) == []
    assert "cron('H 5 * * *')" in text
