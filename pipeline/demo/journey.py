"""The demo's steps as data: from a bare machine to an approved model's predictions, and back to nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.demo.shell import Command, Report, Shell
from pipeline.errors import RunError
from pipeline.evidence import render_evidence
from pipeline.settings import ENVIRONMENTS, Settings

Runtime = Literal["auto", "container", "process"]
# The IAM users behind the local AWS's profiles `deployer`, `approver` and `uploader`.
PEOPLE = ("--deployer", "user/carol", "--approver", "user/bob", "--data-scientist", "user/alice")


@dataclass(frozen=True)
class Options:
    """`ask` decides at the gate; it is given the evidence."""

    runtime: Runtime
    port: int
    ask: Callable[[dict[str, Any]], bool]


@dataclass
class Facts:
    """What the demo learned on its way; written to build/demo.json."""

    runtime: str = ""
    engine: str = ""
    run_id: str = ""
    rejected: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    production: dict[str, Any] = field(default_factory=dict)
    quarantined: str = ""
    provider_waiting_s: dict[str, float] = field(default_factory=dict)
    left_over: list[dict[str, str]] | None = None


@dataclass(frozen=True)
class Journey:
    """What every step is given."""

    settings: Settings
    options: Options
    shell: Shell
    facts: Facts
    report: Report

    @property
    def model(self) -> str:
        return self.settings.models[0]

    @property
    def dataset(self) -> Path:
        return self.settings.model_folder(self.model) / "train.csv"


@dataclass(frozen=True)
class Step:
    """`needs_approval`: skipped after a rejection."""

    name: str
    title: str
    run: Callable[[Journey], None]
    needs_approval: bool = False


def check_machine(journey: Journey) -> None:
    for finding in journey.shell.mlops("doctor")["findings"]:
        # The caller's AWS was taken away on purpose.
        if finding["subject"] != "AWS":
            journey.report(f"{finding['subject']}: {finding['detail']}")


def bootstrap_and_build(journey: Journey) -> None:
    engine = {"container": "docker", "process": "none", "auto": "auto"}[journey.options.runtime]
    if journey.facts.runtime == "process":
        engine = "none"
    _, built = journey.shell.run_together(
        [Command(("bootstrap", *PEOPLE)), Command(("build", "--engine", engine))]
    )
    engines = {image["engine"] for image in built["images"]}
    journey.facts.engine = ", ".join(sorted(engines))
    journey.facts.runtime = "container" if engines == {"docker"} else "process"


def start_aws(journey: Journey) -> None:
    options = journey.options
    status = journey.shell.mlops("local", "up", "--port", str(options.port), "--runtime", options.runtime)
    journey.facts.runtime = status["runtime"]
    journey.shell.point_at(journey.settings.build / "local" / "aws.env")
    journey.report(f"Local AWS at {status['endpoint']}, jobs as {status['runtime']}")


def apply_core(journey: Journey) -> None:
    shell = journey.shell
    plan = shell.mlops("plan", "core", profile="deployer")
    show_plan(journey, plan)
    approve_plan(journey, plan, "core")
    note_apply(journey, shell.mlops("apply", "core", profile="deployer"))
    for image in shell.mlops("push", profile="deployer")["images"]:
        journey.report(f"{image['model']} {image['target']}: {image['uri']}")


def plan_environments(journey: Journey) -> None:
    for name, plan in zip(ENVIRONMENTS, plan_all(journey), strict=True):
        show_plan(journey, plan)
        approve_plan(journey, plan, "environment", "--env", name)


def apply_environments(journey: Journey) -> None:
    commands = [Command(("apply", "--env", name), "deployer") for name in ENVIRONMENTS]
    for applied in journey.shell.run_together(commands):
        note_apply(journey, applied)


def check_convergence(journey: Journey) -> None:
    for plan in plan_all(journey):
        if not plan["empty"]:
            addresses = ", ".join(change["address"] for change in plan["changes"])
            raise RunError(f"The second plan of {plan['stack']} is not empty: {addresses}")
        journey.report(f"{plan['stack']}: no changes")


def plan_all(journey: Journey) -> Sequence[dict[str, Any]]:
    return journey.shell.run_together([Command(("plan", "--env", name), "deployer") for name in ENVIRONMENTS])


def approve_plan(journey: Journey, plan: dict[str, Any], *target: str) -> None:
    """By another than the planner; the demo's question to you is about the model."""
    options = ("--plan", plan["plan_sha256"], "--reason", "nothing is lost")
    approval = journey.shell.mlops("approve", *target, *options, profile="approver")
    journey.report(f"{plan['stack']}: approved by {approval['approver']} until {approval['expires_at'][:19]}")


def retrain(journey: Journey) -> None:
    uploaded = upload(journey, journey.dataset)
    run = journey.shell.mlops("watch", uploaded["run_id"], profile="deployer")
    if run["status"] != "WaitingForApproval":
        raise RunError(f"Run {run['run_id']} is {run['status']}, not waiting for approval.")
    journey.facts.run_id = run["run_id"]
    journey.facts.evidence = run


def approve(journey: Journey) -> None:
    facts = journey.facts
    journey.report(render_evidence(facts.evidence))
    approved = journey.options.ask(facts.evidence)
    word, reason = ("approve", "the evidence is good") if approved else ("reject", "not convinced")
    journey.shell.mlops(word, facts.run_id, "--reason", reason, profile="approver")
    good = (0,) if approved else (7,)
    run = journey.shell.mlops("watch", facts.run_id, "--past-gate", profile="deployer", good=good)
    facts.rejected = not approved
    expected = "Approved" if approved else "Rejected"
    wait_for_status(journey, run, expected)


def release(journey: Journey) -> None:
    facts, shell = journey.facts, journey.shell
    shell.mlops("watch", facts.run_id, "--env", "production", profile="deployer")
    facts.production = shell.mlops("status", "--env", "production", profile="deployer")
    evidence = shell.mlops("smoke", "--env", "production", profile="deployer")
    journey.report(f"{evidence['endpoint']}: {len(evidence['requests'])} golden requests answered correctly")
    for name in ("endpoint", "endpoint_config", "image_digest", "dataset_version_id", "approved_by"):
        journey.report(f"  {name}: {facts.production[name]}")


def predict(journey: Journey) -> None:
    answer = journey.shell.mlops("predict", "--env", "production", profile="deployer")
    journey.facts.predictions = answer["predictions"]
    for prediction in answer["predictions"]:
        journey.report(f"  {prediction}")


def quarantine(journey: Journey) -> None:
    facts = journey.facts
    broken = journey.settings.build / "demo" / "broken.csv"
    write_broken_dataset(journey.dataset, broken)
    uploaded = upload(journey, broken)
    # 7: the run ended badly, which is what is to be seen here.
    run = journey.shell.mlops("watch", uploaded["run_id"], profile="deployer", good=(7,))
    if run["status"] != "Quarantined":
        raise RunError(f"The broken dataset's run is {run['status']}, not Quarantined: {run.get('reason')}")
    facts.quarantined = run["reason"]
    journey.report(f"Quarantined: {run['reason']}")
    if facts.rejected:
        return
    answer = journey.shell.mlops("predict", "--env", "production", profile="deployer")
    if answer["predictions"] != facts.predictions:
        raise RunError("Production answers differently after the broken upload.")
    journey.report("Production still answers, and the same.")


def tear_down(journey: Journey) -> None:
    torn = journey.shell.mlops("destroy", "--all", "--confirm", "production", good=(0, 11))
    journey.facts.left_over = torn["left_over"]
    for operation in torn["operations"]:
        note_waiting(journey.facts, "destroy", operation)
    if torn["left_over"]:
        raise RunError(f"Resources are left: {torn['left_over']}")
    journey.report("Nothing is left.")


def stop_aws(journey: Journey) -> None:
    journey.shell.mlops("local", "down")


SET_UP = Step("set-up", "What this machine has", check_machine)
START = Step("local AWS", "Start the local AWS", start_aws)
JOURNEY = (
    Step("bootstrap and build", "State bucket and deployer role; the model image", bootstrap_and_build),
    Step("core", "Plan, approve and apply core; push the image", apply_core),
    Step("plan", "Plan staging and production side by side; a second person approves", plan_environments),
    Step("apply", "Apply exactly these plans side by side", apply_environments),
    Step("second plan", "Plan again: nothing to change", check_convergence),
    Step("retrain", "Upload a dataset, and nothing else", retrain),
    Step("approval", "The evidence, and a second person's approval", approve),
    Step("release", "The approval starts the production release", release, needs_approval=True),
    Step("predictions", "Call the production endpoint", predict, needs_approval=True),
    Step("quarantine", "Upload a broken dataset", quarantine),
)
TEAR_DOWN = Step("teardown", "Destroy everything and look for what is left", tear_down)
STOP = Step("stop", "Stop the local AWS", stop_aws)


def upload(journey: Journey, file: Path) -> dict[str, Any]:
    uploaded = journey.shell.mlops("upload", str(file), "--model", journey.model, profile="uploader")
    journey.report(f"s3://{uploaded['bucket']}/{uploaded['key']} version {uploaded['version_id']}")
    return uploaded


def wait_for_status(journey: Journey, run: dict[str, Any], expected: str) -> None:
    if run["status"] != expected:
        raise RunError(f"Run {run['run_id']} is {run['status']}, not {expected}.")
    journey.report(f"{run['run_id']}: {run['status']}")


def show_plan(journey: Journey, plan: dict[str, Any]) -> None:
    """Counts by action, then by type: 90 addresses would bury them."""
    actions = ", ".join(f"{count} to {action}" for action, count in plan["counts"].items() if count)
    journey.report(f"{plan['stack']}: {actions or 'no changes'}")
    types = Counter(read_type(change["address"]) for change in plan["changes"])
    journey.report("  " + ", ".join(f"{count} {name}" for name, count in sorted(types.items())))


def read_type(address: str) -> str:
    """`aws_iam_role` of `module.retraining["iris"].module.role.aws_iam_role.this`."""
    parts = [part for part in address.replace('"]', "").split(".") if part.startswith("aws_")]
    return parts[0].partition("[")[0] if parts else address


def note_apply(journey: Journey, applied: dict[str, Any]) -> None:
    note_waiting(journey.facts, "apply", applied)
    journey.report(
        f"{applied['stack']}: {applied['resources']} resources in {applied['seconds']} s, "
        f"{applied['provider_waiting_s']} s of it the AWS provider's own waiting"
    )


def note_waiting(facts: Facts, verb: str, operation: dict[str, Any]) -> None:
    facts.provider_waiting_s[f"{verb} {operation['stack']}"] = operation["provider_waiting_s"]


def write_broken_dataset(source: Path, target: Path) -> None:
    """The same dataset with a word where the third row's first number stands."""
    lines = source.read_text().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join(["a lot", *cells[1:]])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
