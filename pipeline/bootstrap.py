"""The root that makes the bucket its own state lives in: on disk first, then moved; and back to be destroyed.

It runs from a copy under the build folder, because switching its backend needs a file beside the root.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import Aws
from pipeline.errors import TerraformError, UsageError
from pipeline.plans import Manifest, claim_plan, clear_plan, utc_now
from pipeline.policy import check_verdict
from pipeline.progress import TerraformProgress
from pipeline.stack import (
    BOOTSTRAP,
    Workshop,
    child_environment,
    forget_stack,
    make_plan,
    make_workspaces,
    plan_folder,
    save_outputs,
    state_bucket,
)
from pipeline.terraform import Applied, Terraform

_OVERRIDE = "backend_override.tf.json"
# As iac/bootstrap/variables.tf has it.
_PRINCIPAL = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:(user|role)/[^*?]+")


@dataclass(frozen=True)
class Holders:
    """Who may take on the roles that bootstrap makes: IAM users and roles, and one repository's CI."""

    deployers: tuple[str, ...]
    approvers: tuple[str, ...]
    data_scientists: tuple[str, ...]
    github_repository: str | None = None
    jenkins_agents: tuple[str, ...] = ()

    def variables(self, *, account_id: str) -> dict[str, str]:
        """The root's variables. Raises: UsageError for what is neither user nor role."""
        given = {
            variable: json.dumps([principal_arn(name, account_id=account_id) for name in names])
            for variable, names in (
                ("approver_principals", self.approvers),
                ("data_scientist_principals", self.data_scientists),
                ("deployer_principals", self.deployers),
                ("jenkins_principals", self.jenkins_agents),
            )
        }
        return given | ({"github_repository": self.github_repository} if self.github_repository else {})


def principal_arn(name: str, *, account_id: str) -> str:
    """A user's or role's ARN; `user/NAME` and `role/NAME` are those of this account.

    Raises: UsageError for anything else, a whole account or a pattern among it.
    """
    arn = name if name.startswith("arn:") else f"arn:aws:iam::{account_id}:{name}"
    if not _PRINCIPAL.fullmatch(arn):
        raise UsageError(
            f"{name!r} names no IAM user or role: give user/NAME, role/NAME or its ARN, without wildcards. "
            "Who comes by IAM Identity Center is role/aws-reserved/sso.amazonaws.com/…; "
            "`aws iam list-roles` and `aws iam list-users` have all."
        )
    return arn


def run_bootstrap(
    workshop: Workshop, aws: Aws, holders: Holders, *, apply: bool, accepted: Collection[str] = ()
) -> Manifest:
    """Plans and, if asked, applies the root; its state ends in the bucket. Running it again converges.

    `accepted` are the addresses that policy may find fault with.
    """
    copy = make_copy(workshop, aws.client("s3"), holders)
    terraform = copy.open_local() if copy.is_local else copy.open_remote()
    folder = plan_folder(workshop.settings, BOOTSTRAP)
    clear_plan(folder)
    manifest = make_plan(workshop, aws, terraform, stack=BOOTSTRAP)
    if not apply:
        return manifest
    check_verdict(
        manifest.verdict.findings, stack=BOOTSTRAP.name, accepted=accepted, command=BOOTSTRAP.apply_command
    )
    claim_plan(folder, stack=BOOTSTRAP.name, plan_command=BOOTSTRAP.plan_command, now=utc_now())
    terraform.apply(folder.plan)
    outputs = terraform.output()
    _check_state_bucket(outputs, copy.bucket)
    if copy.is_local:
        copy.move_to_bucket()
    save_outputs(workshop.settings, BOOTSTRAP, outputs)
    make_workspaces(workshop, s3=aws.client("s3"))
    return manifest


def destroy_bootstrap(workshop: Workshop, s3: Any, *, empty_bucket: Callable[[str], object]) -> Applied:
    """Takes the state back to disk, empties the buckets, then destroys them and the roles."""
    # Destroying wants a value for every variable, and uses the state's.
    nobody = ("user/nobody",)
    copy = make_copy(workshop, s3, Holders(nobody, nobody, nobody))
    terraform = copy.open_local() if copy.is_local else copy.move_to_disk()
    for bucket in (copy.bucket, terraform.output().get("access_logs_bucket")):
        if bucket and bucket_exists(s3, bucket):
            empty_bucket(bucket)
    applied = terraform.destroy()
    copy.state.unlink(missing_ok=True)
    forget_stack(workshop.settings, BOOTSTRAP)
    return applied


@dataclass(frozen=True)
class RootCopy:
    """The copy of iac/bootstrap that Terraform runs in, and where its state is."""

    workshop: Workshop
    folder: Path
    bucket: str
    is_local: bool
    holders: Holders

    @property
    def root(self) -> Path:
        return self.folder / "iac" / "bootstrap"

    @property
    def state(self) -> Path:
        """Exists until the move to the bucket has ended: a run that died before that is resumed."""
        return self.folder / "local.tfstate"

    def open_local(self) -> Terraform:
        self._override_backend()
        terraform = self._terraform()
        terraform.init()
        return terraform

    def open_remote(self) -> Terraform:
        terraform = self._terraform()
        terraform.init(self._backend())
        return terraform

    def move_to_bucket(self) -> None:
        (self.root / _OVERRIDE).unlink()
        self._terraform().init(self._backend(), migrate=True)
        self.state.unlink()

    def move_to_disk(self) -> Terraform:
        self.open_remote()
        self._override_backend()
        terraform = self._terraform()
        terraform.init(migrate=True)
        return terraform

    def _override_backend(self) -> None:
        backend = {"terraform": {"backend": {"local": {"path": str(self.state)}}}}
        (self.root / _OVERRIDE).write_text(json.dumps(backend))

    def _backend(self) -> dict[str, str]:
        return {"bucket": self.bucket, "region": self.workshop.settings.region}

    def _terraform(self) -> Terraform:
        return Terraform(
            binary=self.workshop.toolchain.terraform,
            root=self.root,
            data_dir=self.folder / "data",
            environ=child_environment(self.workshop, BOOTSTRAP, images={}) | self._variables(),
            unlock_command=BOOTSTRAP.unlock_command,
            on_event=TerraformProgress(label=BOOTSTRAP.name, report=self.workshop.report),
        )

    def _variables(self) -> dict[str, str]:
        variables = self.holders.variables(account_id=self.workshop.account_id)
        return {f"TF_VAR_{name}": value for name, value in variables.items()}


def make_copy(workshop: Workshop, s3: Any, holders: Holders) -> RootCopy:
    """A fresh copy of the root and its modules; an unfinished move's state file stays."""
    folder = workshop.settings.build / "terraform" / BOOTSTRAP.name
    shutil.rmtree(folder / "iac", ignore_errors=True)
    for part in ("bootstrap", "modules"):
        shutil.copytree(
            workshop.settings.checkout / "iac" / part,
            folder / "iac" / part,
            ignore=shutil.ignore_patterns("tests", "examples"),
        )
    bucket = state_bucket(workshop.settings, workshop.account_id)
    set_cut_off_aside(folder / "local.tfstate")
    is_local = (folder / "local.tfstate").exists() or not bucket_exists(s3, bucket)
    return RootCopy(workshop=workshop, folder=folder, bucket=bucket, is_local=is_local, holders=holders)


def set_cut_off_aside(state: Path) -> None:
    """Renames a state file that is empty or broken off: Terraform empties it at the end of a move.

    What the state in the bucket does not know either is found again (`adoption`).
    """
    try:
        json.loads(state.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        state.replace(state.with_suffix(".cut-off"))


def bucket_exists(s3: Any, bucket: str) -> bool:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchBucket", "NotFound"}:
            return False
        raise
    return True


def _check_state_bucket(outputs: Mapping[str, Any], expected: str) -> None:
    if outputs["state_bucket"] != expected:
        raise TerraformError(
            f"bootstrap made the state bucket {outputs['state_bucket']}, but mlops looks for {expected}: "
            "iac/modules/names and pipeline/stack.py disagree."
        )
