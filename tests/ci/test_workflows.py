"""The workflows, run by GitHub's own parser and evaluator; and each of their safeguards taken out once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from front_ends import DELIVERY, PLANS, ROOT, UNTIL_SCAN, Bench, compare_calls, make_bench, run_node

FOLDER = ROOT / ".github" / "workflows"
SOURCES = {file.name: file.read_text() for file in sorted(FOLDER.glob("*.yml"))}
DELIVER = SOURCES["deliver.yml"]
PROTECTED = list(PLANS)
REVIEWERS = dict.fromkeys(PROTECTED, "octo-cat")
BUILD = "https://github.example/example/mlops/actions/runs/1"
# A name is never a command: this one would leave a file behind if it were.
HOSTILE = 'x"; touch stolen; echo "$(touch stolen)`touch stolen`'
PUSH = {"event_name": "push", "ref": "refs/heads/main", "actor": "ann", "run_id": "1"}
SCENARIOS: dict[str, dict[str, Any]] = {
    "happy": {},
    "nobody for production": {"reviewers": {"core": "octo-cat", "staging": "octo-cat"}},
    "nobody for core": {"reviewers": {}},
    "scan fails": {"fail": "make scan"},
    "approval fails": {"fail": "mlops approve --env staging"},
    "retraining fails": {"fail": "mlops retrain"},
    "hostile": {
        "github": {
            **PUSH,
            "actor": HOSTILE,
            "head_ref": HOSTILE,
            "event": {"head_commit": {"message": HOSTILE}},
        },
        "reviewers": {"core": HOSTILE},
    },
}
# A pull request, whose every word is somebody else's.
REQUEST = {**PUSH, "event_name": "pull_request", "ref": "refs/pull/7/merge", "actor": HOSTILE}
PREVIEWS = ["mlops plan core --preview", *(f"mlops plan --env {name} --preview" for name in PROTECTED[1:])]


def request_of(repository: str, login: str) -> dict[str, Any]:
    head = {"ref": HOSTILE, "label": HOSTILE, "repo": {"full_name": repository}}
    said = {"number": 7, "title": HOSTILE, "body": HOSTILE, "head": head, "user": {"login": login}}
    return {**REQUEST, "head_ref": HOSTILE, "event": {"pull_request": said}}


REQUESTS: dict[str, dict[str, Any]] = {
    "branch": {"github": request_of("example/mlops", "ann")},
    # GitHub gives neither of these an identity token.
    "fork": {"github": request_of("mallory/mlops", "mallory"), "fork": True},
    "dependabot": {"github": request_of("example/mlops", "dependabot[bot]"), "fork": True},
}
# With which call each scenario ends.
ENDS = {
    "nobody for production": "mlops plan --env production",
    "nobody for core": "mlops plan core",
    "scan fails": "make scan",
    "approval fails": "mlops approve --env staging",
    "retraining fails": "mlops retrain",
    "hostile": "mlops plan --env staging",
}


def replace(old: str, new: str, *, count: int = 1) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, count)

    return change


def in_job(name: str, old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        job = cut_job(text, name)
        assert old in job, old
        return text.replace(job, job.replace(old, new))

    return change


def cut_job(text: str, name: str) -> str:
    found = re.search(rf"^  {name}:\n(?:(?:    .*)?\n)*", text, re.MULTILINE)
    assert found, name
    return found[0]


def swap_steps(text: str) -> str:
    """The apply before the approval."""
    return in_job("core", "mlops approve core", "mlops swapped")(
        in_job("core", "mlops apply core", "mlops approve core")(text)
    ).replace("mlops swapped", "mlops apply core")


# name: (what is changed, the scenario that shows it)
MUTANTS: dict[str, tuple[Callable[[str], str], str]] = {
    "gate removed": (in_job("production", "    environment: production\n", ""), "happy"),
    "gate of another environment": (
        in_job("production", "environment: production", "environment: staging"),
        "happy",
    ),
    "scan swallowed": (replace("run: make scan", "run: make scan || true"), "scan fails"),
    "scan may fail": (
        replace("run: make scan", "continue-on-error: true\n        run: make scan"),
        "scan fails",
    ),
    "scan not waited for": (in_job("plan-core", "needs: scan", "needs: test"), "scan fails"),
    "test left out": (in_job("test", "run: make test", "run: make check"), "happy"),
    "applies whatever came before": (
        in_job("production", "    runs-on:", "    if: always()\n    runs-on:"),
        "retraining fails",
    ),
    "applied before the approval": (swap_steps, "happy"),
    "approver made up": (
        in_job("core", "APPROVER=$(python3 scripts/reviewer.py core)", "APPROVER=release-bot"),
        "happy",
    ),
    "another's reviewer": (in_job("production", "reviewer.py production", "reviewer.py staging"), "split"),
    "the latest plan applied": (in_job("core", 'apply core --plan "$PLAN"', "apply core"), "happy"),
    "another plan applied": (
        in_job("production", "needs.plan-production.outputs.plan", "needs.plan-production.outputs.sha256"),
        "happy",
    ),
    "identity token not allowed": (in_job("plan-core", "      id-token: write\n", ""), "happy"),
    "reviews not readable": (in_job("core", "      actions: read\n", ""), "happy"),
    "planned with the apply role": (
        in_job("plan-staging", "-ci-plan", "-ci-apply"),
        "happy",
    ),
    "images not handed on": (in_job("core", "          name: images\n", "          name: image\n"), "happy"),
    "name taken for a command": (
        in_job("core", '--by "$APPROVER"', '--by "$(eval echo $APPROVER)"'),
        "hostile",
    ),
    "actor in a script": (
        in_job(
            "plan-core", ".venv/bin/mlops plan core\n", ".venv/bin/mlops plan core # ${{ github.actor }}\n"
        ),
        "hostile",
    ),
    "title in a script": (
        replace("run: make test", 'run: make test "${{ github.event.head_commit.message }}"'),
        "hostile",
    ),
    "everything permitted": (replace("permissions: {}", "permissions: write-all"), "happy"),
    "action not pinned": (
        replace("actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "actions/checkout@v4"),
        "happy",
    ),
    "token left in the checkout": (
        replace("persist-credentials: false", "persist-credentials: true"),
        "happy",
    ),
    "an apply cut off": (
        in_job("production", "cancel-in-progress: false", "cancel-in-progress: true"),
        "happy",
    ),
    "two applies at once": (
        in_job(
            "production",
            "    concurrency:\n      group: production\n      cancel-in-progress: false\n",
            "",
        ),
        "happy",
    ),
    "no limit of time": (in_job("core", "    timeout-minutes: 90\n", ""), "happy"),
    "summary left out": (
        in_job("plan-production", "          cat build/plans/", "          # build/plans/"),
        "happy",
    ),
    "history left out": (in_job("plan-core", "          fetch-depth: 0\n", ""), "happy"),
    "misspelt key": (replace("timeout-minutes: 90", "timeout-minuts: 90"), "happy"),
    "misspelt need": (in_job("staging", "needs: plan-staging", "needs: plan-stagin"), "happy"),
    "broken YAML": (replace("  scan:\n    needs: test", "  scan:\n   needs: [test"), "happy"),
}
SCENARIOS["split"] = {"reviewers": {"core": "octo-cat", "staging": "octo-cat", "production": "dora"}}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is wrong with the delivery and with each mutant of it; one Node runs them all."""
    folder = tmp_path_factory.mktemp("workflows")
    texts = {"": DELIVER} | {name: change(DELIVER) for name, (change, _shown) in MUTANTS.items()}
    for name, text in texts.items():
        assert not name or text != DELIVER, f"{name} changes nothing"
    benches = {name: make_bench(folder / str(index)) for index, name in enumerate(texts)}
    runs = [
        write_run(benches[name], text, scenarios=[MUTANTS[name][1]] if name else list(SCENARIOS))
        for name, text in texts.items()
    ]
    answers = run_node(folder, runs)
    return {
        name: judge(benches[name], texts[name], answer) for name, answer in zip(texts, answers, strict=True)
    }


def write_run(bench: Bench, text: str, *, scenarios: list[str]) -> dict[str, Any]:
    file = bench.folder / "deliver.yml"
    file.write_text(text)
    given_scenarios = []
    for name in scenarios:
        given, place = (SCENARIOS | REQUESTS)[name], bench.folder / f"{name}.d"
        place.mkdir()
        given_scenarios.append(
            {
                "name": name,
                "environ": bench.environ(name, fail=given.get("fail", "")),
                "github": given.get("github", PUSH),
                "vars": {"AWS_ACCOUNT_ID": "123456789012", "AWS_REGION": "us-east-1"},
                "reviewers": given.get("reviewers", REVIEWERS),
                "protected": PROTECTED,
                "fork": given.get("fork", False),
                "folder": str(place),
                "source": str(bench.source),
            }
        )
    return {"file": str(file), "scenarios": given_scenarios}


def judge(bench: Bench, text: str, answer: dict[str, Any]) -> list[str]:
    """Everything that is wrong, in words."""
    if "invalid" in answer:
        return [f"invalid: {answer['invalid']}"]
    problems = judge_text(text) + judge_workflow(answer["workflow"])
    for outcome in answer["outcomes"]:
        name = outcome["name"]
        problems += (
            judge_delivery(bench, outcome) if name in ("happy", "split") else judge_stop(bench, outcome)
        )
    return problems


def judge_text(text: str) -> list[str]:
    """What holds of every workflow."""
    problems = [
        f"not pinned: {used}"
        for used in re.findall(r"uses: (\S+)", text)
        if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used)
    ]
    if "secrets." in text:
        problems.append("a key is kept at GitHub")
    if "pull_request_target" in text or "workflow_run" in text:
        problems.append("a stranger's request would get credentials")
    return problems


def judge_workflow(workflow: dict[str, Any]) -> list[str]:
    problems = [] if workflow.get("permissions") == {} else ["permissions are not {} on top"]
    for name, job in workflow["jobs"].items():
        if "timeout-minutes" not in job:
            problems.append(f"{name} has no limit of time")
        if "write" in {value for key, value in job["permissions"].items() if key != "id-token"}:
            problems.append(f"{name} may write to the repository")
        environment = job.get("environment")
        # Without an environment there is no role, but for a request of the repository's own branches.
        is_own = "head.repo.full_name == github.repository" in job.get("if", "") and "||" not in job["if"]
        if not environment and "id-token" in job["permissions"] and not is_own:
            problems.append(f"{name} has an identity token without an environment")
        if environment in PROTECTED and job.get("concurrency") != {
            "group": environment,
            "cancel-in-progress": False,
        }:
            problems.append(f"{name}: two applies may run at once, or one be cut off")
        for step in job["steps"]:
            if "${{" in str(step.get("run", "")):
                problems.append(f"{name}: an expression in a script")
    return problems


def judge_delivery(bench: Bench, outcome: dict[str, Any]) -> list[str]:
    name, events = outcome["name"], outcome["events"]
    calls = bench.calls(name)
    expected = list(DELIVERY)
    problems = compare_calls(
        [renamed(call) for call in calls] if name == "split" else calls,
        expected,
        approver="octo-cat",
        build=BUILD,
    )
    if name == "split":
        approvers = [call["call"][call["call"].index("--by") + 1] for call in calls if "--by" in call["call"]]
        if approvers != ["octo-cat", "octo-cat", "dora"]:
            problems.append(f"approved by {approvers}")
    failed = [event["failed"] for event in events if "failed" in event]
    if failed or any(job["result"] != "success" for job in outcome["results"].values()):
        problems.append(f"did not succeed: {failed}")
    if [event["gate"] for event in events if "gate" in event] != PROTECTED:
        problems.append("not every environment's reviewers were asked, once and in order")
    if any(event.get("persists") for event in events):
        problems.append("a checkout keeps the token")
    summaries = "".join(event.get("summary", "") for event in events)
    for environment, stack in PLANS.items():
        if f"## Plan of {stack}" not in summaries:
            problems.append(f"the plan of {environment} is not in the summary")
        if not any(event.get("artifact") == f"plan-{environment}" and event["files"] for event in events):
            problems.append(f"the plan of {environment} is not kept")
    planned = [event for event in events if "checkout" in event and event["checkout"].startswith("plan-")]
    if any(event["depth"] != "0" for event in planned) or len(planned) != len(PLANS):
        problems.append("a plan does not know whose change it is")
    if any(call["authors"] != "ann" for call in calls if call["call"][1] == "plan"):
        problems.append("a plan does not know who started it")
    return problems


def renamed(call: dict[str, Any]) -> dict[str, Any]:
    return {**call, "call": ["octo-cat" if word == "dora" else word for word in call["call"]]}


def judge_stop(bench: Bench, outcome: dict[str, Any]) -> list[str]:
    name, calls = outcome["name"], bench.calls(outcome["name"])
    problems = []
    if all(job["result"] == "success" for job in outcome["results"].values()):
        problems.append(f"{name}: is green")
    if not calls or not " ".join(calls[-1]["call"]).startswith(ENDS[name]):
        problems.append(
            f"{name}: went on to {calls[-1]['call'] if calls else 'nothing'}, not to {ENDS[name]}"
        )
    if name == "hostile":
        approvals = [call["call"] for call in calls if call["call"][1] == "approve"]
        if not approvals or HOSTILE not in approvals[0]:
            problems.append("the hostile name was not passed on as it stands")
        if list(bench.folder.rglob("stolen")):
            problems.append("the hostile name was run")
    return problems


def test_the_delivery_does_what_it_should(judged: dict[str, list[str]]) -> None:
    assert judged[""] == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_delivery_is_caught(judged: dict[str, list[str]], name: str) -> None:
    assert judged[name], f"nobody notices: {name}"


@pytest.mark.parametrize("name", SOURCES)
def test_every_workflow_is_valid_and_keeps_the_rules(tmp_path: Path, name: str) -> None:
    (answer,) = run_node(tmp_path, [{"file": str(FOLDER / name), "scenarios": []}])

    assert "invalid" not in answer, answer
    assert judge_text(SOURCES[name]) + judge_workflow(answer["workflow"]) == []


# Of check.yml: (what is changed, the request that shows it)
REQUEST_MUTANTS: dict[str, tuple[Callable[[str], str], str]] = {
    "forks plan too": (
        in_job("plan", "head.repo.full_name == github.repository", "head.repo.full_name != ''"),
        "fork",
    ),
    "Dependabot plans too": (in_job("plan", "login != 'dependabot[bot]'", "login != ''"), "dependabot"),
    "forks are told nothing": (
        in_job("no-plan", "repo.full_name != github", "repo.full_name == github"),
        "fork",
    ),
    "a plan that may be approved": (replace(" --env staging --preview", " --env staging"), "branch"),
    "another session": (replace("name: pull-request", "name: mlops-${{ github.run_id }}"), "branch"),
    "planned with the apply role": (in_job("plan", "-ci-plan", "-ci-apply"), "branch"),
    "title in a script": (
        in_job("plan", "plan core --preview", "plan core --preview # ${{ github.event.pull_request.title }}"),
        "branch",
    ),
    "plan not kept": (in_job("plan", "build/plans/*/plan.sha256", "build/plans/*/sha256"), "branch"),
    "summary left out": (in_job("plan", "cat build/plans/core/", "true build/plans/core/"), "branch"),
}


@pytest.fixture(scope="module")
def judged_requests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is wrong with check.yml and with each mutant of it."""
    folder = tmp_path_factory.mktemp("requests")
    source = SOURCES["check.yml"]
    texts = {"": source} | {name: change(source) for name, (change, _shown) in REQUEST_MUTANTS.items()}
    benches = {name: make_bench(folder / str(index)) for index, name in enumerate(texts)}
    runs = [
        write_run(benches[name], text, scenarios=[REQUEST_MUTANTS[name][1]] if name else list(REQUESTS))
        for name, text in texts.items()
    ]
    answers = run_node(folder, runs)
    return {name: judge_requests(benches[name], answer) for name, answer in zip(texts, answers, strict=True)}


def judge_requests(bench: Bench, answer: dict[str, Any]) -> list[str]:
    if "invalid" in answer:
        return [f"invalid: {answer['invalid']}"]
    problems = judge_workflow(answer["workflow"])
    for outcome in answer["outcomes"]:
        name, events = outcome["name"], outcome["events"]
        plans = name == "branch"
        calls = [(" ".join(call["call"]), call["role"]) for call in bench.calls(name)]
        wanted = [(call, "") for call in UNTIL_SCAN]
        wanted += [(call, "mlops-ci-plan") for call in PREVIEWS] if plans else []
        if calls != wanted:
            problems.append(f"{name}: called {calls}")
        results = {job: ended["result"] for job, ended in outcome["results"].items()}
        if (results["plan"], results["no-plan"]) != (
            ("success", "skipped") if plans else ("skipped", "success")
        ):
            problems.append(f"{name}: ended as {results}")
        summary = "".join(event.get("summary", "") for event in events)
        told = [f"## Plan of {stack}" for stack in PLANS.values()] if plans else ["get no credentials"]
        if any(text not in summary for text in told):
            problems.append(f"{name}: the summary is {summary!r}")
        kept = [file for event in events if event.get("artifact") == "plans" for file in event["files"]]
        hashes = [f"build/plans/{stack}/plan.sha256" for stack in PLANS.values()]
        if plans and not set(hashes) <= set(kept):
            problems.append(f"{name}: kept {kept}")
    if list(bench.folder.rglob("stolen")):
        problems.append("a hostile name was run")
    return problems


def test_a_pull_request_is_checked_and_one_of_an_own_branch_is_planned(
    judged_requests: dict[str, list[str]],
) -> None:
    assert judged_requests[""] == []


@pytest.mark.parametrize("name", REQUEST_MUTANTS)
def test_a_mutant_of_the_checks_is_caught(judged_requests: dict[str, list[str]], name: str) -> None:
    assert judged_requests[name], f"nobody notices: {name}"


def test_retraining_by_hand_takes_the_models_name_as_it_stands(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    run = write_run(bench, SOURCES["retrain.yml"], scenarios=["happy"])
    run["scenarios"][0]["inputs"] = {"model": HOSTILE}

    run_node(tmp_path, [run])

    (call,) = bench.calls("happy")
    assert call["call"] == ["mlops", "retrain", "--env", "staging", "--model", HOSTILE]
    assert call["role"] == "mlops-data-scientist"
    assert not list(tmp_path.rglob("stolen"))


def test_drift_is_looked_for_by_who_only_reads(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)

    run_node(tmp_path, [write_run(bench, SOURCES["drift.yml"], scenarios=["happy"])])

    (call,) = bench.calls("happy")
    assert (call["call"], call["role"]) == (["make", "drift"], "mlops-ci-plan")


def test_zizmor_finds_nothing() -> None:
    """GitHub's known mistakes: injection, unpinned actions, broad permissions, leaking tokens."""
    done = zizmor(FOLDER)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  push:\n    branches: [main]\n", "  pull_request_target:\n"),
        ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4"),
        ("run: make test", "run: make test ${{ github.head_ref }}"),
    ],
)
def test_zizmor_finds_a_planted_mistake(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "deliver.yml").write_text(replace(old, new)(DELIVER))

    assert zizmor(tmp_path / "deliver.yml").returncode != 0


def zizmor(target: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / ".venv" / "bin" / "zizmor"), "--offline", "--no-progress", "--strict-collection"]
    return subprocess.run([*command, str(target)], capture_output=True, text=True, timeout=60, check=False)
