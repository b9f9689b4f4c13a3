"""Where a plan waits for its approval: encrypted, in the state's bucket, for some days.

Flow 1, between plan and apply, which in CI run on different machines. What is kept of a plan stands below
`plans/<stack>/<sha256 of the plan>/`; the bucket's lifecycle removes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PlanError
from pipeline.once import put_once, read_object
from pipeline.plan_summary import render_summary
from pipeline.plans import Manifest, PlanFolder, clear_plan, hash_file, parse_manifest, render_manifest


@dataclass(frozen=True)
class Waiting:
    """A plan that waits: its manifest, and its summary for people, made of the manifest alone."""

    manifest: Manifest
    summary: str


@dataclass(frozen=True)
class PlanStore:
    """The plans of one account."""

    s3: Any
    bucket: str

    def publish(self, folder: PlanFolder, manifest: Manifest) -> None:
        """Keeps the plan with all that an apply elsewhere needs of it. The pointer to it comes last."""
        home = plan_prefix(manifest.stack, manifest.plan_sha256)
        for name, file in _files(folder, manifest).items():
            self._put(f"{home}/{name}", file.read_bytes())
        put_once(render_manifest(manifest), s3=self.s3, bucket=self.bucket, key=f"{home}/manifest.json")
        pointer = json.dumps({"plan_sha256": manifest.plan_sha256}).encode()
        self._put(f"plans/{manifest.stack}/latest.json", pointer)

    def read(self, stack: str, *, plan_sha256: str | None, plan_command: str) -> Waiting:
        """The plan with this hash, or the latest. Raises: PlanError when it is not there, or another is."""
        wanted = plan_sha256 or self._latest(stack, plan_command=plan_command)
        stored = self._get(f"{plan_prefix(stack, wanted)}/manifest.json")
        if stored is None:
            raise _absent(stack, plan_command=plan_command)
        manifest = parse_manifest(stored)
        if (manifest.stack, manifest.plan_sha256) != (stack, wanted):
            raise PlanError(
                f"What is kept as plan {wanted[:12]} of {stack} is plan {manifest.plan_sha256[:12]} of "
                f"{manifest.stack}. Run `{plan_command}` again, and look into the bucket's access log."
            )
        return Waiting(manifest, render_summary(manifest))

    def fetch(self, folder: PlanFolder, stack: str, *, plan_sha256: str | None, plan_command: str) -> None:
        """Brings a plan that was made elsewhere into this folder, and the files it points at to their places.

        Raises: PlanError when it is not there, or points at a file outside of the build folder.
        """
        waiting = self.read(stack, plan_sha256=plan_sha256, plan_command=plan_command)
        manifest = waiting.manifest
        home = plan_prefix(stack, manifest.plan_sha256)
        clear_plan(folder)
        for name, file in _files(folder, manifest).items():
            stored = self._get(f"{home}/{name}")
            if stored is None:
                raise _absent(stack, plan_command=plan_command)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(stored)
        folder.summary.write_text(waiting.summary)
        folder.manifest.write_bytes(render_manifest(manifest))

    def _latest(self, stack: str, *, plan_command: str) -> str:
        pointer = self._get(f"plans/{stack}/latest.json")
        if pointer is None:
            raise _absent(stack, plan_command=plan_command)
        try:
            return str(json.loads(pointer)["plan_sha256"])
        except (ValueError, TypeError, KeyError) as error:
            raise PlanError(
                f"Which plan of {stack} is the latest cannot be read: {error!r}. Run `{plan_command}` again."
            ) from None

    def _put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def _get(self, key: str) -> bytes | None:
        return read_object(s3=self.s3, bucket=self.bucket, key=key)


def plan_prefix(stack: str, plan_sha256: str) -> str:
    """Below which the bucket keeps what belongs to one plan."""
    return f"plans/{stack}/{plan_sha256}"


def is_here(folder: PlanFolder, plan_sha256: str | None) -> bool:
    """Whether the folder holds the wanted plan, or any where none is named."""
    if not folder.manifest.is_file() or not folder.plan.is_file():
        return False
    return plan_sha256 is None or hash_file(folder.plan) == plan_sha256


def _files(folder: PlanFolder, manifest: Manifest) -> dict[str, Path]:
    """The plan's files by the name they are kept under."""
    files = {"plan.tfplan": folder.plan}
    # Two above the plan's folder is the build folder; a manifest from elsewhere may not write anywhere else.
    build = folder.path.parent.parent.resolve()
    for name, sha256 in manifest.inputs.items():
        file = (folder.path / name).resolve()
        if not file.is_relative_to(build):
            raise PlanError(f"The plan of {manifest.stack} points at {name}, outside of {build}.")
        files[f"inputs/{sha256}"] = file
    return files


def _absent(stack: str, *, plan_command: str) -> PlanError:
    return PlanError(f"There is no saved plan of {stack}. Run `{plan_command}` and read it first.")
