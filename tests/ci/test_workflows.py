"""The workflows, run by GitHub's own parser and evaluator; and each of their safeguards taken out once."""

from __future__ import annotations

import re
import subprocess
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
    run_node,
)

FOLDER = ROOT / ".github" / "workflows"
SOURCES = {file.name: file.read_text() for file in sorted(FOLDER.glob("*.yml"))}
DELIVER = SOURCES["deliver.yml"]
PROTECTED = list(PLANS)
# Each environment has another reviewer, so that none is taken for another.
REVIEWERS = dict(zip(PROTECTED, ("octo-cat", "dora", "eve"), strict=True))
BUILD = "https://github.example/example/mlops/actions/runs/1"
# A name is never a command: this one would leave a file behind if it were.
HOSTILE = 'x"; touch stolen; echo "$(touch stolen)`touch stolen`'
PUSH = {"event_name": "push", "ref": "refs/heads/main", "actor": "ann", "run_id": "1"}
SCENARIOS: dict[str, dict[str, Any]] = {
    "happy": {},
    "nobody for production": {"reviewers": {"core": "octo-cat", "staging": "octo-cat"}},
    "nobody for core": {"reviewers": {}},
    **{f"{call} fails": {"fail": call} for call in FAILING},
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
    **{f"{call} fails": call for call in FAILING},
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
    "scan swallowed": (replace("run: make scan", "run: make scan || true"), "make scan fails"),
    "scan may fail": (
        replace("run: make scan", "continue-on-error: true\n        run: make scan"),
        "make scan fails",
    ),
    "scan not waited for": (in_job("plan-core", "needs: scan", "needs: test"), "make scan fails"),
    "test left out": (in_job("test", "run: make test", "run: make check"), "happy"),
    "applies whatever came before": (
        in_job("production", "    runs-on:", "    if: always()\n    runs-on:"),
        "mlops retrain --env staging fails",
    ),
    "applied before the approval": (swap_steps, "happy"),
    "approver made up": (
        in_job("core", "APPROVER=$(python3 scripts/reviewer.py core)", "APPROVER=release-bot"),
        "happy",
    ),
    "another's reviewer": (in_job("production", "reviewer.py production", "reviewer.py staging"), "happy"),
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
    "history left out of an apply": (in_job("staging", "          fetch-depth: 0\n", ""), "happy"),
    "misspelt key": (replace("timeout-minutes: 90", "timeout-minuts: 90"), "happy"),
    "misspelt need": (in_job("staging", "needs: plan-staging", "needs: plan-stagin"), "happy"),
    "check swallowed": (replace("run: make check", "run: make check || true"), "happy"),
    "test swallowed": (replace("run: make test", "run: make test || true"), "happy"),
    "approval swallowed": (
        in_job("production", 'actions/runs/$GITHUB_RUN_ID"', 'actions/runs/$GITHUB_RUN_ID" || true'),
        "happy",
    ),
    "environment printed": (in_job("production", "run: make setup", "run: make setup; env"), "happy"),
    "check not waited for": (replace("    needs: check\n", ""), "happy"),
    "every branch delivers": (replace("branches: [main]", "branches: ['**']"), "happy"),
    "delivered by hand, too": (replace("  push:\n", "  workflow_dispatch:\n  push:\n"), "happy"),
    "a delivery cut off by the next": (
        replace("group: deliver\n  cancel-in-progress: false", "group: deliver\n  cancel-in-progress: true"),
        "happy",
    ),
    "deliveries side by side": (
        replace("concurrency:\n  group: deliver\n  cancel-in-progress: false\n", ""),
        "happy",
    ),
    "hash not kept": (
        in_job("plan-production", "            build/plans/environment-production/plan.sha256\n", ""),
        "happy",
    ),
    "uploader hidden": (
        in_job("retrain", "role-session-name: ${{ github.actor }}", "role-session-name: mlops-ci"),
        "happy",
    ),
    "findings not kept": (replace("build/scan/*.sarif", "build/scan/*.txt"), "happy"),
    "findings kept only when there are none": (
        replace("      - if: always()\n        uses", "      - uses"),
        "happy",
    ),
    "another job's permission": (
        in_job("production", "      contents: read\n", "      contents: read\n      packages: read\n"),
        "happy",
    ),
    "a matrix": (
        in_job(
            "staging",
            "    needs: plan-staging\n",
            "    needs: plan-staging\n    strategy: {matrix: {n: [1, 2]}}\n",
        ),
        "happy",
    ),
    "broken YAML": (replace("  scan:\n    needs: test", "  scan:\n   needs: [test"), "happy"),
}


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
    workflow = answer["workflow"]
    problems = judge_text(text) + judge_workflow(workflow) + judge_declared(workflow)
    for outcome in answer["outcomes"]:
        name = outcome["name"]
        problems += judge_delivery(bench, outcome) if name == "happy" else judge_stop(bench, outcome)
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


# What may be declared of the delivery, and nothing else. Its jobs run one after the other, in this order.
CHECKS = ("check", "test", "scan")
JOBS = (*CHECKS, "plan-core", "core", "plan-staging", "staging", "retrain", "plan-production", "production")
JOB_KEYS = {
    "concurrency",
    "env",
    "environment",
    "needs",
    "outputs",
    "permissions",
    "runs-on",
    "steps",
    "timeout-minutes",
}
STEP_KEYS = {"env", "id", "if", "name", "run", "uses", "with"}
LINE = re.compile(
    rf"{MAKE}|{MLOPS}"
    r"|APPROVER=\$\(python3 scripts/reviewer\.py (?:core|staging|production)\)"
    r'|echo "sha256=\$\(cat build/plans/[a-z-]+/plan\.sha256\)" >> "\$GITHUB_OUTPUT"'
    r'|cat build/plans/[a-z-]+/summary\.md >> "\$GITHUB_STEP_SUMMARY"'
)
STEP_ENVIRONMENTS = ({}, {"MLOPS_AUTHORS": "${{ github.actor }}"}, {"GITHUB_TOKEN": "${{ github.token }}"})
# What only the job that follows a run has, besides.
TRACKING = {"MLFLOW_TRACKING_URI": "${{ vars.MLFLOW_TRACKING_URI }}"}


def judge_declared(workflow: dict[str, Any]) -> list[str]:
    declared: list[tuple[str, Any, Any]] = [
        ("when it runs", workflow["on"], {"push": {"branches": ["main"]}}),
        ("its concurrency", workflow.get("concurrency"), {"group": "deliver", "cancel-in-progress": False}),
        ("what it has", sorted(workflow), ["concurrency", "jobs", "name", "on", "permissions"]),
        ("its jobs", tuple(workflow["jobs"]), JOBS),
    ]
    for name, job in workflow["jobs"].items():
        found = [*judge_job(name, job), *(fact for step in job["steps"] for fact in judge_step(name, step))]
        declared += [(f"{name}: {what}", is_, wanted) for what, is_, wanted in found]
    return [f"{what} is {is_}, not {wanted}" for what, is_, wanted in declared if is_ != wanted]


def judge_job(name: str, job: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What is declared of a job: what, as it is, and as it should be."""
    permissions = {"contents": "read"}
    permissions |= {} if name in CHECKS else {"id-token": "write"}
    permissions |= {"actions": "read"} if name in PROTECTED else {}
    environment = None if name in CHECKS else "plan" if name.startswith("plan-") else name
    before = dict(zip(JOBS[1:], JOBS, strict=False)).get(name)
    plan = {"PLAN": f"${{{{ needs.plan-{name}.outputs.plan }}}}"} if name in PROTECTED else None
    return [
        ("what it must not have", set(job) - JOB_KEYS, set()),
        ("what it waits for", job.get("needs"), before),
        ("its permissions", job["permissions"], permissions),
        ("its environment", job.get("environment"), environment),
        ("its variables", job.get("env"), plan),
    ]


def judge_step(job: str, step: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    action, given = step.get("uses", "").partition("@")[0], step.get("with", {})
    strange = [line for line in step.get("run", "").splitlines() if not LINE.fullmatch(line)]
    known = (*STEP_ENVIRONMENTS, TRACKING) if job == "retrain" else STEP_ENVIRONMENTS
    found = [
        ("what its step must not have", set(step) - STEP_KEYS, set()),
        ("what is not one of our commands alone", strange, []),
        ("a step's variables being known", step.get("env", {}) in known, True),
        ("a step's condition", step.get("if"), "always()" if given.get("name") == "scan" else None),
    ]
    if action == "aws-actions/configure-aws-credentials":
        # Who uploads a dataset is known by this name.
        session = "${{ github.actor }}" if job == "retrain" else "mlops-${{ github.run_id }}"
        found.append(("its session's name", given["role-session-name"], session))
    return found


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
    problems = compare_calls(calls, DELIVERY, approvers=REVIEWERS, build=BUILD)
    for event in events:
        if any(secret in f"{event.get('said')}{event.get('summary')}" for secret in (SECRET, "job-token")):
            problems.append("a secret is in the log or the summary")
    failed = [event["failed"] for event in events if "failed" in event]
    if failed or any(job["result"] != "success" for job in outcome["results"].values()):
        problems.append(f"did not succeed: {failed}")
    if [event["gate"] for event in events if "gate" in event] != PROTECTED:
        problems.append("not every environment's reviewers were asked, once and in order")
    if any(event.get("persists") for event in events):
        problems.append("a checkout keeps the token")
    kept = {event["artifact"]: event["files"] for event in events if "artifact" in event}
    if kept.get("scan") != ["build/scan/checkov.sarif"]:
        problems.append("what the scan found is not kept")
    summaries = "".join(event.get("summary", "") for event in events)
    for environment, stack in PLANS.items():
        if f"## Plan of {stack}" not in summaries:
            problems.append(f"the plan of {environment} is not in the summary")
        home = f"build/plans/{stack}"
        if kept.get(f"plan-{environment}") != [
            f"{home}/{file}" for file in ("summary.md", "manifest.json", "plan.sha256")
        ]:
            problems.append(f"the plan of {environment} is not kept")
    deep = {event["checkout"] for event in events if event.get("depth") == "0"}
    if deep != {*PROTECTED, *(f"plan-{name}" for name in PLANS)}:
        problems.append("a plan or an apply does not know whose change it is")
    if any(call["authors"] != "ann" for call in calls if call["call"][1] == "plan"):
        problems.append("a plan does not know who started it")
    return problems


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
