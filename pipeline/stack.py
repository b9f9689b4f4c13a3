"""The Terraform roots as data, and the flow each one passes: init, plan, apply of that plan, output, destroy.

Flow 1 (merge to main): bootstrap, then core, then the two workspaces of the environment root.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.adoption import Orphan, find_orphans, find_vanished, render_imports
from pipeline.aws import Aws
from pipeline.commit import read_writers_since
from pipeline.errors import PlanError, UsageError
from pipeline.once import read_object
from pipeline.package import build_package
from pipeline.plan_approval import (
    Registry,
    consume_plan_approval,
    end_plan,
    find_applied_commit,
    find_plan_approval,
    refuse_rejected,
)
from pipeline.plan_store import PlanStore, is_here
from pipeline.plan_summary import render_summary
from pipeline.plans import (
    Basis,
    Manifest,
    PlanFolder,
    claim_plan,
    clear_plan,
    hash_file,
    read_plan,
    save_manifest,
    utc_now,
)
from pipeline.policy import check_verdict, judge_plan
from pipeline.prices import compare_costs, load_prices, tell_cost
from pipeline.progress import TerraformProgress
from pipeline.settings import ENVIRONMENTS, TARGETS, Environment, Settings, Target
from pipeline.terraform import Applied, Terraform
from pipeline.toolchain import Toolchain, terraform_environment
from pipeline.variables import check_variables

Root = Literal["bootstrap", "core", "environment"]
# Of each model, the image of each target, by digest.
ImageUris = Mapping[str, Mapping[Target, str]]


@dataclass(frozen=True)
class Stack:
    """One root, and for the environment root the workspace."""

    root: Root
    environment: Environment | None = None

    @property
    def name(self) -> str:
        return f"{self.root}-{self.environment}" if self.environment else self.root

    @property
    def plan_command(self) -> str:
        if self.root == "bootstrap":
            return "mlops bootstrap"
        return f"mlops plan --env {self.environment}" if self.environment else f"mlops plan {self.root}"

    @property
    def apply_command(self) -> str:
        return self.plan_command.replace("plan", "apply", 1)

    @property
    def unlock_command(self) -> str:
        """Without the lock's id."""
        return f"mlops state unlock {f'--env {self.environment}' if self.environment else self.root}"

    @property
    def state_key(self) -> str:
        """The state's object, as the root's backend names it."""
        folder = f"workspaces/{self.environment}/" if self.environment else ""
        return f"{folder}{self.root}/terraform.tfstate"


CORE = Stack("core")
BOOTSTRAP = Stack("bootstrap")


@dataclass(frozen=True)
class Workshop:
    """What every Terraform run needs: whose account, which Terraform, which variables, who listens.

    `authors` are those whose change this commit is, and the caller.
    """

    settings: Settings
    account_id: str
    caller: str
    authors: tuple[str, ...]
    toolchain: Toolchain
    environ: Mapping[str, str]
    commit: str
    report: Callable[[str], None]


def state_bucket(settings: Settings, account_id: str) -> str:
    """Composed here too: a backend must be named before an output can be read."""
    return f"{settings.project}-tfstate-{account_id}"


def plan_folder(settings: Settings, stack: Stack) -> PlanFolder:
    return PlanFolder(settings.build / "plans" / stack.name)


def package_file(settings: Settings) -> Path:
    return settings.build / "lambda.zip"


def output_file(settings: Settings, stack: Stack) -> Path:
    """The last apply's outputs: uploaders and approvers may not read the Terraform state."""
    return settings.build / "outputs" / f"{stack.name}.json"


def approval_key(settings: Settings) -> str:
    """The alias of the key that signs approvals; composed here too, for the same reason."""
    return f"alias/{settings.project}-approval"


def plan_store(settings: Settings, account_id: str, *, s3: Any) -> PlanStore:
    return PlanStore(s3, state_bucket(settings, account_id))


def approval_registry(settings: Settings, account_id: str, *, s3: Any, kms: Any) -> Registry:
    bucket = state_bucket(settings, account_id)
    return Registry(settings.project, bucket, approval_key(settings), s3=s3, kms=kms)


def plan_stack(workshop: Workshop, aws: Aws, stack: Stack, *, preview: bool = False) -> Manifest:
    """Makes the plan that a later apply will apply, and only that one, and keeps it for its approval.

    A preview is kept nowhere but in this folder, holds no lock, and writes nothing.
    """
    if not preview:
        # Nobody approves a preview, and a request's checkout has no history to ask.
        workshop = replace(workshop, authors=find_authors(workshop, stack, s3=aws.client("s3")))
    folder = plan_folder(workshop.settings, stack)
    clear_plan(folder)
    inputs = []
    if stack.root == "environment":
        inputs.append(build_package(workshop.settings.checkout, package_file(workshop.settings)))
    images = pick_images(workshop, stack, preview=preview) if stack.environment else {}
    terraform = replace(open_stack(workshop, stack, images=images), lock=not preview)
    has_state = bool(read_basis(workshop, stack, s3=aws.client("s3")).state_lineage)
    if stack.environment and not has_state and not preview:
        # A workspace that an older account's folder has chosen already is not made by choosing it again.
        terraform.touch_state()
    manifest = make_plan(workshop, aws, terraform, stack=stack, inputs=inputs, preview=preview)
    if not preview:
        store = plan_store(workshop.settings, workshop.account_id, s3=aws.client("s3"))
        store.publish(plan_folder(workshop.settings, stack), manifest)
    return manifest


def make_plan(
    workshop: Workshop,
    aws: Aws,
    terraform: Terraform,
    *,
    stack: Stack,
    inputs: Sequence[Path] = (),
    preview: bool = False,
) -> Manifest:
    """Saves a plan, what policy says of it, and what both were made from.

    A preview takes nothing over that an earlier apply left: that may change the state.
    """
    folder = plan_folder(workshop.settings, stack)
    # Before the plan: what changes the state from here on makes the plan one that is not applied.
    basis = read_basis(workshop, stack, s3=aws.client("s3"))
    changes = terraform.plan(folder.plan)
    representation = terraform.show_plan(folder.plan)
    if terraform.var_file:
        check_variables(representation, terraform.var_file)
    orphans: list[Orphan] = []
    # What is in a network can be found when the network's own id is known: again until there is no more.
    while not preview and (found := find_orphans(aws, representation, account_id=workshop.account_id)):
        workshop.report(f"{stack.name}: taking over what an earlier apply left: {_list_ids(found)}")
        if vanished := find_vanished(representation, found):
            terraform.forget(vanished)
            basis = read_basis(workshop, stack, s3=aws.client("s3"))
        orphans += found
        with _copy_with_imports(terraform, orphans) as importing:
            changes = importing.plan(folder.plan)
            representation = importing.show_plan(folder.plan)
    folder.representation.write_text(json.dumps(representation))
    manifest = save_manifest(
        folder,
        stack=stack.name,
        commit=workshop.commit,
        basis=basis,
        authors=workshop.authors,
        changes=changes,
        verdict=judge_plan(representation),
        cost=tell_cost(compare_costs(representation, load_prices())),
        inputs=inputs,
        now=utc_now(),
    )
    folder.summary.write_text(render_summary(manifest))
    return manifest


@contextmanager
def _copy_with_imports(terraform: Terraform, orphans: Sequence[Orphan]) -> Iterator[Terraform]:
    """The same root beside itself, where every relative path still holds, with the import blocks in it."""
    with tempfile.TemporaryDirectory(dir=terraform.root.parent, prefix=".importing-") as folder:
        for file in terraform.root.iterdir():
            (Path(folder) / file.name).symlink_to(file)
        (Path(folder) / "imports.tf.json").write_text(json.dumps(render_imports(orphans)))
        yield replace(terraform, root=Path(folder))


def _list_ids(orphans: Sequence[Orphan]) -> str:
    return ", ".join(orphan.id for orphan in orphans)


def apply_stack(
    workshop: Workshop,
    stack: Stack,
    *,
    s3: Any,
    kms: Any,
    plan_sha256: str | None = None,
    accepted: Collection[str] = (),
) -> Applied:
    """Applies the saved plan that somebody else approved, and keeps the outputs.

    The plan is this folder's, or, where it was made elsewhere, the store's: the one with `plan_sha256`, or
    the latest. `accepted` are the addresses that policy may find fault with.

    Raises: PlanError, PolicyError or ApprovalError before anything is changed.
    """
    folder = plan_folder(workshop.settings, stack)
    if not is_here(folder, plan_sha256):
        store = plan_store(workshop.settings, workshop.account_id, s3=s3)
        store.fetch(folder, stack.name, plan_sha256=plan_sha256, plan_command=stack.plan_command)
    manifest = read_plan(folder, stack=stack.name, plan_command=stack.plan_command)
    registry = approval_registry(workshop.settings, workshop.account_id, s3=s3, kms=kms)
    authors = find_authors(workshop, stack, s3=s3)
    approval = find_plan_approval(registry, manifest, authors=authors, now=utc_now())
    check_basis(workshop, stack, manifest, s3=s3)
    check_verdict(manifest.verdict.findings, stack=stack.name, accepted=accepted, command=stack.apply_command)
    terraform = open_stack(workshop, stack)
    claim_plan(folder, stack=stack.name, plan_command=stack.plan_command, now=utc_now())
    consume_plan_approval(registry, manifest, approval, by=workshop.caller, now=utc_now())
    workshop.report(
        f"{stack.name}: applying the plan of {manifest.created_at}, approved by {approval.approver}"
    )
    with _ending(registry, manifest, by=workshop.caller):
        # Who rejects it from here on finds it used up; a rejection of the last seconds still counts.
        refuse_rejected(registry, manifest)
        applied = terraform.apply(folder.plan)
        save_outputs(workshop.settings, stack, terraform.output())
    return applied


def find_authors(workshop: Workshop, stack: Stack, *, s3: Any) -> tuple[str, ...]:
    """The workshop's, and whoever wrote what the stack does not run yet: since it was last applied."""
    registry = approval_registry(workshop.settings, workshop.account_id, s3=s3, kms=None)
    applied = find_applied_commit(registry, stack.name)
    since = read_writers_since(workshop.settings.checkout, applied) if applied else set()
    return tuple(sorted({*workshop.authors, *since}))


def read_waiting_plan(workshop: Workshop, stack: Stack, *, s3: Any, plan_sha256: str | None) -> Manifest:
    """The plan that an apply would take, from here or from the store. Changes nothing, here neither.

    Raises: PlanError where the apply would.
    """
    folder = plan_folder(workshop.settings, stack)
    if is_here(folder, plan_sha256):
        return read_plan(folder, stack=stack.name, plan_command=stack.plan_command)
    store = plan_store(workshop.settings, workshop.account_id, s3=s3)
    return store.read(stack.name, plan_sha256=plan_sha256, plan_command=stack.plan_command).manifest


@contextmanager
def _ending(registry: Registry, manifest: Manifest, *, by: str) -> Iterator[None]:
    """Writes down how an apply ended. Of a failure only its kind: what a provider says may hold anything."""
    try:
        yield
    except BaseException as error:
        reason = f"{type(error).__name__}; see the output of whoever applied it"
        end_plan(registry, manifest, status="Failed", reason=reason, by=by, now=utc_now())
        raise
    end_plan(registry, manifest, status="Applied", reason="", by=by, now=utc_now())


def read_basis(workshop: Workshop, stack: Stack, *, s3: Any) -> Basis:
    """What a plan made now is relative to: the provider's lock, and the state as the backend holds it."""
    lock = workshop.settings.checkout / "iac" / stack.root / ".terraform.lock.hcl"
    bucket = state_bucket(workshop.settings, workshop.account_id)
    stored = read_object(s3=s3, bucket=bucket, key=stack.state_key)
    state: dict[str, Any] = json.loads(stored or b'{"lineage": "", "serial": 0}')
    return Basis(
        provider_lock_sha256=hash_file(lock) if lock.is_file() else "",
        state_lineage=state["lineage"],
        state_serial=state["serial"],
    )


def check_basis(workshop: Workshop, stack: Stack, manifest: Manifest, *, s3: Any) -> None:
    """Raises: PlanError where commit, provider or state are no longer what was planned with."""
    planned, now = manifest.basis, read_basis(workshop, stack, s3=s3)
    again = f"Run `{stack.plan_command}` again and have that approved."
    if manifest.commit != workshop.commit:
        raise PlanError(
            f"{stack.name} was planned at commit {manifest.commit}, but this is {workshop.commit}. {again}"
        )
    if planned.provider_lock_sha256 != now.provider_lock_sha256:
        raise PlanError(f"The provider's lock changed after {stack.name} was planned. {again}")
    if (planned.state_lineage, planned.state_serial) != (now.state_lineage, now.state_serial):
        raise PlanError(
            f"The state of {stack.name} moved after it was planned, from serial {planned.state_serial} to "
            f"{now.state_serial}. {again}"
        )


def destroy_stack(workshop: Workshop, stack: Stack) -> Applied:
    """Destroys what the root's state holds; forgets its plans and outputs."""
    build_package(workshop.settings.checkout, package_file(workshop.settings))
    applied = open_stack(workshop, stack, images=absent_images(workshop)).destroy()
    forget_stack(workshop.settings, stack)
    return applied


def forget_stack(settings: Settings, stack: Stack) -> None:
    output_file(settings, stack).unlink(missing_ok=True)
    clear_plan(plan_folder(settings, stack))


def read_outputs(workshop: Workshop, stack: Stack) -> dict[str, Any]:
    """Outputs straight from the state."""
    return open_stack(workshop, stack).output()


def save_outputs(settings: Settings, stack: Stack, outputs: Mapping[str, Any]) -> None:
    file = output_file(settings, stack)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(outputs, indent=2) + "\n")


def open_stack(workshop: Workshop, stack: Stack, *, images: ImageUris | None = None) -> Terraform:
    """Terraform on that root: initialised, and in the right workspace."""
    settings = workshop.settings
    root = settings.checkout / "iac" / stack.root
    terraform = Terraform(
        binary=workshop.toolchain.terraform,
        root=root,
        data_dir=settings.build / "terraform" / stack.name,
        environ=child_environment(workshop, stack, images=images or {}),
        var_file=root / f"{stack.environment}.tfvars" if stack.environment else None,
        unlock_command=stack.unlock_command,
        on_event=TerraformProgress(label=stack.environment or stack.root, report=workshop.report),
    )
    backend = {"bucket": state_bucket(settings, workshop.account_id), "region": settings.region}
    initialise_once(terraform, backend, version=workshop.toolchain.version)
    if stack.environment:
        terraform.select_workspace(stack.environment)
    return terraform


def child_environment(workshop: Workshop, stack: Stack, *, images: ImageUris) -> dict[str, str]:
    """The caller's environment variables, made fit, and the root's input variables."""
    settings = workshop.settings
    child = terraform_environment(workshop.environ, terraform_rc=workshop.toolchain.terraform_rc)
    child |= {"AWS_REGION": settings.region}
    variables = {"project": settings.project}
    if stack.root == "core":
        variables["models"] = json.dumps(settings.models)
    if stack.root == "environment":
        root = settings.checkout / "iac" / stack.root
        variables |= {
            "state_bucket": state_bucket(settings, workshop.account_id),
            "images": json.dumps(images, sort_keys=True),
            # Relative, so that the plan is the same in every checkout.
            "lambda_package": os.path.relpath(package_file(settings), root),
            "commit": workshop.commit,
        }
    return child | {f"TF_VAR_{name}": value for name, value in variables.items()}


def make_workspaces(workshop: Workshop, *, s3: Any) -> None:
    """A state for each environment that has none: CI's planner finds one, and may not write any."""
    for environment in ENVIRONMENTS:
        stack = Stack("environment", environment)
        if not read_basis(workshop, stack, s3=s3).state_lineage:
            open_stack(workshop, stack).touch_state()


def initialise_once(terraform: Terraform, backend: Mapping[str, str], *, version: str) -> None:
    """Runs `terraform init` only when the backend, the locks, the modules or Terraform changed since.

    One at a time per machine folder, because a shared plugin cache does not stand two writers.
    """
    lock = terraform.root / ".terraform.lock.hcl"
    facts = [
        dict(backend),
        version,
        lock.read_text() if lock.is_file() else "",
        _read_modules(terraform.root),
    ]
    stamp = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    file = terraform.data_dir / "initialised"
    if file.is_file() and file.read_text() == stamp:
        return
    # The workspace chosen last: init asks a person when the backend, made anew, does not have it.
    (terraform.data_dir / "environment").unlink(missing_ok=True)
    with _locked(terraform.data_dir.parent / "init.lock"):
        terraform.init(backend)
    file.write_text(stamp)


def _read_modules(root: Path) -> list[str]:
    """The lines that name modules and backends: adding one needs an init."""
    lines = (line.strip() for file in sorted(root.glob("*.tf")) for line in file.read_text().splitlines())
    return [
        line for line in lines if line.startswith(("module ", "source ", "backend ", "key ", "workspace_key"))
    ]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def read_images(settings: Settings) -> ImageUris:
    """The pushed images of every model, by digest."""
    return {
        model: {target: _read_uri(settings, model, target) for target in TARGETS} for model in settings.models
    }


def _read_uri(settings: Settings, model: str, target: Target) -> str:
    file = settings.image_file(model, target)
    uri = json.loads(file.read_text()).get("uri") if file.is_file() else None
    if not uri:
        raise UsageError(
            f"The {target} image of {model} is not pushed yet. Run `mlops build` and `mlops push` first."
        )
    return str(uri)


def pick_images(workshop: Workshop, stack: Stack, *, preview: bool) -> ImageUris:
    """Those that were pushed from here; a preview, of what nobody has built, those that are deployed."""
    settings = workshop.settings
    built = (settings.image_file(model, target) for model in settings.models for target in TARGETS)
    if preview and not any(file.is_file() for file in built):
        return read_delivered(read_outputs(workshop, stack), stack).images
    return read_images(settings)


@dataclass(frozen=True)
class Delivered:
    """What an environment was last applied with."""

    commit: str
    images: ImageUris


def read_delivered(outputs: Mapping[str, Any], stack: Stack) -> Delivered:
    """Raises: UsageError where nothing was applied yet, or by an older version."""
    if "delivered" not in outputs:
        raise UsageError(
            f"The state of {stack.name} does not say what was delivered: nothing, or by an older version. "
            f"Deliver it once: `{stack.plan_command}`, then approve and apply."
        )
    return Delivered(**outputs["delivered"])


def absent_images(workshop: Workshop) -> ImageUris:
    """Well-formed images that exist nowhere: destroying wants a value, and use the state's."""
    registry = f"{workshop.account_id}.dkr.ecr.{workshop.settings.region}.amazonaws.com"
    names = {model: f"{registry}/{workshop.settings.project}-{model}" for model in workshop.settings.models}
    return {model: dict.fromkeys(TARGETS, f"{name}@sha256:{'0' * 64}") for model, name in names.items()}
