"""The signed, single-use approval of a plan: written by `mlops approve`, demanded by `mlops apply`.

Flow 1, between plan and apply. All of it stands in the state's bucket, each object written once:
`approvals/people/<stack>/<plan>/<who signed>.json`, which IAM lets only this very person write;
`approvals/ci/<stack>/<plan>/<approver>.json`, written by CI for whoever answered at its gate;
`rejections/<stack>/<plan>.json`, after which no approval counts;
`applied/<stack>/<plan>.json`, which uses the plan up before it is applied;
`ended/<stack>/<plan>.json`, which says how that went.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pipeline.errors import (
    ApprovalError,
    ApprovalExpiredError,
    ApprovalForgedError,
    ApprovalMismatchError,
    ApprovalMissingError,
    ApprovalRevokedError,
    ApprovalUsedError,
    SelfApprovalError,
)
from pipeline.once import put_once, read_object
from pipeline.plans import Manifest, render_manifest
from pipeline.signing import canonical, is_genuine, sign

VALID_FOR = timedelta(hours=24)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}")


@dataclass(frozen=True)
class PlanSubject:
    """What exactly is approved; the apply compares every field with what it is about to do."""

    project: str
    stack: str
    environment: str
    commit: str
    plan_sha256: str
    manifest_sha256: str
    provider_lock_sha256: str
    state_lineage: str
    state_serial: int


@dataclass(frozen=True)
class PlanApproval:
    """One person's word about one plan, good until `expires_at` and for one apply."""

    subject: PlanSubject
    authors: tuple[str, ...]
    approver: str
    reason: str
    created_at: str
    expires_at: str
    nonce: str
    kind: str = "plan"

    def record(self) -> dict[str, Any]:
        """One flat object, as it is signed and stored."""
        flat = dataclasses.asdict(self) | {"authors": list(self.authors)}
        return {**flat.pop("subject"), **flat}


@dataclass(frozen=True)
class Registry:
    """Where approvals of plans are kept, and the key that signs them."""

    project: str
    bucket: str
    key_id: str
    s3: Any
    kms: Any


def plan_subject(manifest: Manifest, *, project: str) -> PlanSubject:
    """The subject that a plan's manifest stands for."""
    root, _, environment = manifest.stack.partition("-")
    return PlanSubject(
        project=project,
        stack=root,
        environment=environment or "shared",
        commit=manifest.commit,
        plan_sha256=manifest.plan_sha256,
        manifest_sha256=hashlib.sha256(render_manifest(manifest)).hexdigest(),
        **dataclasses.asdict(manifest.basis),
    )


def write_plan_approval(
    manifest: Manifest, *, project: str, approver: str, reason: str, now: datetime, valid_for: timedelta
) -> PlanApproval:
    """A fresh approval with its own nonce. Raises: SelfApprovalError, ApprovalError for an unusable name."""
    if not _NAME.fullmatch(approver):
        raise ApprovalError(f"{approver!r} is no person's name. Give the name that answered at the gate.")
    refuse_author(manifest, approver, authors=manifest.authors)
    return PlanApproval(
        subject=plan_subject(manifest, project=project),
        authors=manifest.authors,
        approver=approver,
        reason=reason,
        created_at=now.isoformat(),
        expires_at=(now + valid_for).isoformat(),
        nonce=secrets.token_hex(16),
    )


def refuse_author(manifest: Manifest, approver: str, *, authors: Iterable[str]) -> None:
    """Nobody approves their own change; names differ in more than case."""
    if approver.lower() in {author.lower() for author in authors}:
        raise SelfApprovalError(
            f"{approver} made or planned the change in plan {manifest.plan_sha256[:12]} of {manifest.stack}, "
            "or applies it; somebody else has to approve it."
        )


def give_plan_approval(registry: Registry, manifest: Manifest, approval: PlanApproval, *, key: str) -> None:
    """Signs and stores it. Raises: ApprovalError where the plan is answered for or applied already."""
    refuse_rejected(registry, manifest)
    refuse_applied(registry, manifest)
    signature = sign(approval.record(), kms=registry.kms, key_id=registry.key_id)
    body = {"record": approval.record(), "signature": base64.b64encode(signature).decode()}
    if not put_once(canonical(body), s3=registry.s3, bucket=registry.bucket, key=key):
        raise ApprovalUsedError(
            f"{approval.approver} approved plan {manifest.plan_sha256[:12]} of {manifest.stack} already."
        )


def reject_plan(
    registry: Registry, manifest: Manifest, *, rejecter: str, reason: str, now: datetime
) -> dict[str, Any]:
    """Ends the plan: no approval of it counts any more, given or to come.

    Raises: ApprovalUsedError when it is applied already, or from this moment on.
    """
    refuse_applied(registry, manifest)
    body = {"rejected_by": rejecter, "reason": reason, "rejected_at": now.isoformat()}
    key = rejection_key(manifest)
    if not put_once(canonical(body), s3=registry.s3, bucket=registry.bucket, key=key):
        refuse_rejected(registry, manifest)
        raise _gone(key)
    # An apply marks the plan as used and then looks for a rejection; this is the other way round, so that at
    # least one of the two sees the other.
    if (stored := read_object(s3=registry.s3, bucket=registry.bucket, key=applied_key(manifest))) is not None:
        raise ApprovalUsedError(
            f"Plan {manifest.plan_sha256[:12]} of {manifest.stack} was taken for an apply by "
            f"{json.loads(stored)['applied_by']} while it was rejected. Whether that was in time is in "
            "`mlops history`."
        )
    return body


def find_plan_approval(
    registry: Registry, manifest: Manifest, *, authors: Collection[str], now: datetime
) -> PlanApproval:
    """The approval by which the plan may be applied.

    `authors` are those whose change it is, as the apply sees it: the manifest's were written by its planner.
    Raises: ApprovalError, of its own kind for each reason; of several bad approvals the last one's.
    """
    refuse_applied(registry, manifest)
    refuse_rejected(registry, manifest)
    problem: ApprovalError | None = None
    for key in _keys_of(registry, manifest.stack, manifest.plan_sha256):
        try:
            return _check(registry, manifest, key, authors=authors, now=now)
        except ApprovalError as error:
            problem = error
    raise problem or _missing(registry, manifest)


def consume_plan_approval(
    registry: Registry, manifest: Manifest, approval: PlanApproval, *, by: str, now: datetime
) -> None:
    """Uses the plan up, wherever it is applied. Raises: ApprovalUsedError when somebody else was first."""
    body = {"nonce": approval.nonce, "applied_by": by, "started_at": now.isoformat()}
    key = applied_key(manifest)
    if not put_once(canonical(body), s3=registry.s3, bucket=registry.bucket, key=key):
        refuse_applied(registry, manifest)
        raise _gone(key)


def end_plan(
    registry: Registry,
    manifest: Manifest,
    *,
    status: Literal["Applied", "Failed"],
    reason: str,
    by: str,
    now: datetime,
) -> None:
    """Writes down how the apply of a used-up plan ended; one that was killed leaves no such record."""
    body = {"status": status, "reason": reason, "applied_by": by, "ended_at": now.isoformat()}
    body |= {"commit": manifest.commit}
    put_once(canonical(body), s3=registry.s3, bucket=registry.bucket, key=ended_key(manifest))


def find_applied_commit(registry: Registry, stack: str) -> str | None:
    """The commit that the stack was last applied at without a failure; None before the first time."""
    pages = registry.s3.get_paginator("list_objects_v2").paginate(
        Bucket=registry.bucket, Prefix=f"ended/{stack}/"
    )
    found = [(record["LastModified"], record["Key"]) for page in pages for record in page.get("Contents", [])]
    for _when, key in sorted(found, reverse=True):
        ended = json.loads(read_object(s3=registry.s3, bucket=registry.bucket, key=key) or b"{}")
        if ended.get("status") == "Applied" and "commit" in ended:
            return str(ended["commit"])
    return None


def refuse_applied(registry: Registry, manifest: Manifest) -> None:
    stored = read_object(s3=registry.s3, bucket=registry.bucket, key=applied_key(manifest))
    if stored is not None:
        used = json.loads(stored)
        raise ApprovalUsedError(
            f"Plan {manifest.plan_sha256[:12]} of {manifest.stack} was applied already, by "
            f"{used['applied_by']} at {used['started_at']}; a plan is applied once. Plan again."
        )


def refuse_rejected(registry: Registry, manifest: Manifest) -> None:
    stored = read_object(s3=registry.s3, bucket=registry.bucket, key=rejection_key(manifest))
    if stored is not None:
        said = json.loads(stored)
        raise ApprovalRevokedError(
            f"Plan {manifest.plan_sha256[:12]} of {manifest.stack} was rejected by {said['rejected_by']} at "
            f"{said['rejected_at']}: {said['reason']}. Change what is asked for, and plan again."
        )


def _gone(key: str) -> ApprovalUsedError:
    return ApprovalUsedError(
        f"{key} was written by somebody else and is gone again: look into the access log."
    )


def person_key(manifest: Manifest, user_id: str) -> str:
    """Where a person's approval stands; `user_id` is as STS and IAM's `aws:userid` give it: <role>:<name>."""
    return f"approvals/people/{manifest.stack}/{manifest.plan_sha256}/{user_id}.json"


def ci_key(manifest: Manifest, approver: str) -> str:
    """Where the approval of whoever answered at CI's gate stands."""
    return f"approvals/ci/{manifest.stack}/{manifest.plan_sha256}/{approver}.json"


def rejection_key(manifest: Manifest) -> str:
    return f"rejections/{manifest.stack}/{manifest.plan_sha256}.json"


def applied_key(manifest: Manifest) -> str:
    return f"applied/{manifest.stack}/{manifest.plan_sha256}.json"


def ended_key(manifest: Manifest) -> str:
    return f"ended/{manifest.stack}/{manifest.plan_sha256}.json"


def open_plan_approval(registry: Registry, stored: bytes, *, key: str) -> PlanApproval:
    """The approval in these bytes, whoever may use it. Raises: ApprovalForgedError, ApprovalMismatchError."""
    approval, signature = _parse(stored, key=key)
    if not is_genuine(approval.record(), signature, kms=registry.kms, key_id=registry.key_id):
        raise ApprovalForgedError(
            f"{key} does not carry the approval key's signature: it was forged or changed after it was "
            "signed. Look into the bucket's access log."
        )
    _check_writer(approval, key)
    return approval


def _keys_of(registry: Registry, stack: str, plan_sha256: str = "") -> Iterator[str]:
    for way in ("people", "ci"):
        prefix = f"approvals/{way}/{stack}/{plan_sha256}"
        pages = registry.s3.get_paginator("list_objects_v2").paginate(Bucket=registry.bucket, Prefix=prefix)
        for page in pages:
            yield from (str(found["Key"]) for found in page.get("Contents", []))


def _missing(registry: Registry, manifest: Manifest) -> ApprovalMissingError:
    others = sum(1 for _ in _keys_of(registry, manifest.stack))
    what = f"Plan {manifest.plan_sha256[:12]} of {manifest.stack} has no approval"
    if others:
        return ApprovalMissingError(
            f"{what}; {others} of other plans are there, and count for those only. Have this one approved."
        )
    return ApprovalMissingError(f"{what}. Somebody who did not make it has to approve it: `mlops approve`.")


def _check(
    registry: Registry, manifest: Manifest, key: str, *, authors: Collection[str], now: datetime
) -> PlanApproval:
    stored = read_object(s3=registry.s3, bucket=registry.bucket, key=key) or b""
    approval = open_plan_approval(registry, stored, key=key)
    _check_subject(approval.subject, plan_subject(manifest, project=registry.project))
    refuse_author(manifest, approval.approver, authors=(*manifest.authors, *authors))
    if now >= datetime.fromisoformat(approval.expires_at):
        raise ApprovalExpiredError(
            f"The approval of plan {manifest.plan_sha256[:12]} of {manifest.stack} by {approval.approver} "
            f"expired at {approval.expires_at}. Plan again and have that approved."
        )
    return approval


def _check_writer(approval: PlanApproval, key: str) -> None:
    """A person's signed record could name anybody; where it stands says who wrote it."""
    writer = key.rpartition("/")[2].removesuffix(".json").rpartition(":")[2]
    if writer != approval.approver:
        raise ApprovalMismatchError(f"{key} is {writer}'s, but names {approval.approver} as its approver.")


def _check_subject(approved: PlanSubject, wanted: PlanSubject) -> None:
    for field in dataclasses.fields(PlanSubject):
        had, has = getattr(approved, field.name), getattr(wanted, field.name)
        if had != has:
            raise ApprovalMismatchError(
                f"The approval is for {field.name} {had}, but the plan to be applied has {has}. "
                "Have this plan approved."
            )


def _parse(stored: bytes, *, key: str) -> tuple[PlanApproval, bytes]:
    try:
        document = json.loads(stored)
        record = dict(document["record"])
        names = [field.name for field in dataclasses.fields(PlanSubject)]
        subject = PlanSubject(**{name: record.pop(name) for name in names})
        approval = PlanApproval(subject=subject, **{**record, "authors": tuple(record["authors"])})
        datetime.fromisoformat(approval.expires_at)
        return approval, base64.b64decode(document["signature"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ApprovalForgedError(f"{key} cannot be read as an approval: {error!r}") from None
