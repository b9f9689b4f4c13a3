"""Saved Terraform plans: what is applied is the plan that was seen, once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PlanError
from pipeline.policy import Finding, Verdict
from pipeline.prices import CostLine, PlanCost


@dataclass(frozen=True)
class PlanFolder:
    """One root's (and workspace's) latest plan. Making a new plan takes the place of the old one."""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "plan.tfplan"

    @property
    def representation(self) -> Path:
        """The plan as Terraform's JSON, for policies and reports."""
        return self.path / "plan.json"

    @property
    def summary(self) -> Path:
        """What the plan does, in Markdown, for whoever is to approve it."""
        return self.path / "summary.md"

    @property
    def sha256(self) -> Path:
        """The plan's hash alone, for a CI that hands it on."""
        return self.path / "plan.sha256"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def used(self) -> Path:
        """Exists from the moment an apply of this plan begins."""
        return self.path / "applied.json"


@dataclass(frozen=True)
class Change:
    """What becomes of one resource."""

    address: str
    action: str


@dataclass(frozen=True)
class Basis:
    """What a plan is relative to: another provider or another state would make another plan."""

    provider_lock_sha256: str
    state_lineage: str
    state_serial: int


@dataclass(frozen=True)
class Manifest:
    """What a saved plan was made from, and by whom.

    `inputs` are the files it only points at: sha256 by relative path. `authors` may not approve it: those
    whose change it is, and who planned it.
    """

    stack: str
    commit: str
    plan_sha256: str
    basis: Basis
    authors: tuple[str, ...]
    inputs: Mapping[str, str]
    created_at: str
    changes: tuple[Change, ...]
    verdict: Verdict
    cost: PlanCost


def clear_plan(folder: PlanFolder) -> None:
    """Removes an older plan, so that a failed plan can never be followed by an apply of the one before it."""
    files = (folder.manifest, folder.used, folder.plan, folder.representation, folder.summary, folder.sha256)
    for file in files:
        file.unlink(missing_ok=True)
    folder.path.mkdir(parents=True, exist_ok=True)


def save_manifest(
    folder: PlanFolder,
    *,
    stack: str,
    commit: str,
    basis: Basis,
    authors: Sequence[str],
    changes: Sequence[Change],
    verdict: Verdict,
    cost: PlanCost,
    inputs: Sequence[Path],
    now: datetime,
) -> Manifest:
    """Binds the plan file and the files it points at by hash."""
    manifest = Manifest(
        stack=stack,
        commit=commit,
        plan_sha256=hash_file(folder.plan),
        basis=basis,
        authors=tuple(authors),
        inputs={os.path.relpath(file, folder.path): hash_file(file) for file in inputs},
        created_at=now.isoformat(timespec="seconds"),
        changes=tuple(changes),
        verdict=verdict,
        cost=cost,
    )
    folder.sha256.write_text(f"{manifest.plan_sha256}\n")
    folder.manifest.write_bytes(render_manifest(manifest))
    return manifest


def render_manifest(manifest: Manifest) -> bytes:
    """The only bytes that stand for this manifest: an approval names their hash."""
    return f"{json.dumps(asdict(manifest), indent=2)}\n".encode()


def read_plan(folder: PlanFolder, *, stack: str, plan_command: str) -> Manifest:
    """The manifest of a plan that may be applied.

    Raises: PlanError when there is none, it or a file it points at changed, or it was applied before.
    """
    if not folder.manifest.is_file() or not folder.plan.is_file():
        raise PlanError(f"There is no saved plan of {stack}. Run `{plan_command}` and read it first.")
    manifest = parse_manifest(folder.manifest.read_bytes())
    if manifest.stack != stack:
        raise PlanError(f"The saved plan of {stack} is one of {manifest.stack}. Run `{plan_command}` again.")
    if hash_file(folder.plan) != manifest.plan_sha256:
        raise PlanError(
            f"The saved plan of {stack} was changed after it was made. Run `{plan_command}` again."
        )
    for name, sha256 in manifest.inputs.items():
        file = folder.path / name
        if not file.is_file() or hash_file(file) != sha256:
            raise PlanError(f"{file.name} was changed after {stack} was planned. Run `{plan_command}` again.")
    if folder.used.exists():
        when = json.loads(folder.used.read_text())["started_at"]
        raise PlanError(
            f"The saved plan of {stack} was applied already ({when}). Run `{plan_command}` again."
        )
    return manifest


def parse_manifest(stored: bytes) -> Manifest:
    """Raises: PlanError when these are not the bytes of a manifest."""
    try:
        raw = json.loads(stored)
        verdict, cost = raw["verdict"], raw["cost"]
        manifest = Manifest(
            **{
                **raw,
                "basis": Basis(**raw["basis"]),
                "authors": tuple(raw["authors"]),
                "changes": tuple(Change(**change) for change in raw["changes"]),
                "verdict": Verdict(
                    tuple(Finding(**finding) for finding in verdict["findings"]), tuple(verdict["unjudged"])
                ),
                "cost": PlanCost(
                    **{
                        **cost,
                        "lines": tuple(CostLine(**line) for line in cost["lines"]),
                        "unpriced": tuple(cost["unpriced"]),
                    }
                ),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise PlanError(f"The plan's manifest cannot be read: {error!r}. Plan again.") from None
    if render_manifest(manifest) != stored:
        raise PlanError(f"The manifest of the plan of {manifest.stack} was changed by hand. Plan again.")
    return manifest


def claim_plan(folder: PlanFolder, *, stack: str, plan_command: str, now: datetime) -> None:
    """Uses the plan up before it is applied: after an apply that died half-way comes a new plan."""
    try:
        with folder.used.open("x") as file:
            json.dump({"started_at": now.isoformat(timespec="seconds")}, file)
    except FileExistsError as error:
        raise PlanError(
            f"The saved plan of {stack} is being applied already. Run `{plan_command}` again."
        ) from error


def count_changes(changes: Sequence[Change]) -> dict[str, int]:
    """How many resources are created, updated, replaced, deleted; zeroes included."""
    counts = {"create": 0, "update": 0, "replace": 0, "delete": 0}
    for change in changes:
        counts[change.action] = counts.get(change.action, 0) + 1
    return counts


def hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def utc_now() -> datetime:
    return datetime.now(UTC)
