"""The signed, single-use approval of a model: written by `mlops approve`, verified by the release.

Flow: approval, first and second step (sign and store; verify and consume). The record and its
consumption are two objects in the ledger bucket, each written only if it is not there yet:
`approvals/<run_id>.json` and `approvals/<run_id>.consumed.json`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.errors import (
    ApprovalError,
    ApprovalExpiredError,
    ApprovalForgedError,
    ApprovalMismatchError,
    ApprovalMissingError,
    ApprovalUsedError,
    SelfApprovalError,
)
from pipeline.once import put_once, read_object
from pipeline.signing import canonical, is_genuine, sign


@dataclass(frozen=True)
class Subject:
    """What exactly is approved; the release compares every field with what it is about to deploy."""

    project: str
    environment: str
    run_id: str
    model_package_arn: str
    image_digest: str
    training_image_digest: str
    model_sha256: str
    evaluation_sha256: str


@dataclass(frozen=True)
class Approval:
    """One person's word about one subject, good until `expires_at` and for one release."""

    subject: Subject
    author: str
    approver: str
    reason: str
    created_at: str
    expires_at: str
    nonce: str
    kind: str = "model"

    def record(self) -> dict[str, str]:
        """One flat object, as it is stored."""
        flat = dataclasses.asdict(self)
        return {**flat.pop("subject"), **flat}


@dataclass(frozen=True)
class SignedApproval:
    """An approval with the approval key's signature over its canonical bytes."""

    approval: Approval
    signature: bytes


def person(arn: str) -> str:
    """The name of the person behind a caller ARN: its session or user name."""
    return arn.rsplit("/", maxsplit=1)[-1]


def last_editor(package: dict[str, Any]) -> str | None:
    """Who changed the model package last, as SageMaker itself saw it; of a DescribeModelPackage answer."""
    arn = package.get("LastModifiedBy", {}).get("IamIdentity", {}).get("Arn")
    return person(arn) if arn else None


def package_subject(package: dict[str, Any], *, project: str, environment: str) -> Subject:
    """The subject that a DescribeModelPackage answer stands for, to be released into `environment`."""
    metadata = package.get("CustomerMetadataProperties", {})
    try:
        return Subject(
            project=project,
            environment=environment,
            run_id=metadata["run_id"],
            model_package_arn=package["ModelPackageArn"],
            image_digest=metadata["image_digest"],
            training_image_digest=metadata["training_image_digest"],
            model_sha256=metadata["model_sha256"],
            evaluation_sha256=metadata["evaluation_sha256"],
        )
    except KeyError as missing:
        raise ApprovalMismatchError(
            f"Model package {package.get('ModelPackageArn')} carries no {missing.args[0]}: "
            "it was not registered by a retraining run. Register it by uploading a dataset."
        ) from None


def write_approval(
    subject: Subject, *, author: str | None, approver: str, reason: str, now: datetime, valid_for: timedelta
) -> Approval:
    """A fresh approval with its own nonce.

    Raises: ApprovalError when the author is unknown, SelfApprovalError when it is the approver.
    """
    if not author:
        raise ApprovalError(
            f"Run {subject.run_id} has no known uploader yet, so nobody can show to be somebody else. "
            "The name arrives with the audit trail's event; try again in a few minutes."
        )
    refuse_self_approval(author=author, approver=approver, run_id=subject.run_id)
    return Approval(
        subject=subject,
        author=author,
        approver=approver,
        reason=reason,
        created_at=now.isoformat(),
        expires_at=(now + valid_for).isoformat(),
        nonce=secrets.token_hex(16),
    )


def refuse_self_approval(*, author: str, approver: str, run_id: str) -> None:
    """Nobody approves their own upload; names differ in more than case."""
    if author.lower() == approver.lower():
        raise SelfApprovalError(
            f"{approver} uploaded the dataset of run {run_id}; somebody else has to approve it."
        )


def sign_approval(approval: Approval, *, kms: Any, key_id: str) -> SignedApproval:
    """The approval, signed by the approval key."""
    return SignedApproval(approval=approval, signature=sign(approval.record(), kms=kms, key_id=key_id))


def store_approval(signed: SignedApproval, *, s3: Any, bucket: str) -> None:
    """Write the record once. Raises: ApprovalUsedError when the run has an approval already."""
    run_id = signed.approval.subject.run_id
    body = {"record": signed.approval.record(), "signature": base64.b64encode(signed.signature).decode()}
    if not put_once(canonical(body), s3=s3, bucket=bucket, key=approval_key(run_id)):
        first = load_approval(run_id, s3=s3, bucket=bucket).approval
        raise ApprovalUsedError(
            f"Run {run_id} was approved already, by {first.approver} at {first.created_at}: {first.reason}"
        )


def load_approval(run_id: str, *, s3: Any, bucket: str) -> SignedApproval:
    """The stored record, not yet verified. Raises: ApprovalMissingError, ApprovalForgedError."""
    stored = read_object(s3=s3, bucket=bucket, key=approval_key(run_id))
    if stored is None:
        raise ApprovalMissingError(
            f"Run {run_id} has no signed approval, so it is not released. "
            f"Approve it with `mlops approve {run_id}`."
        )
    return _parse(stored, run_id=run_id)


def verify_approval(
    signed: SignedApproval, subject: Subject, *, kms: Any, key_id: str, now: datetime
) -> None:
    """Nothing, when the record is genuine, in time, by another person, and about this very subject.

    Raises: ApprovalForgedError, ApprovalMismatchError, SelfApprovalError, ApprovalExpiredError.
    """
    _check_signature(signed, kms=kms, key_id=key_id)
    approval = signed.approval
    _check_subject(approval.subject, subject)
    refuse_self_approval(author=approval.author, approver=approval.approver, run_id=subject.run_id)
    if now >= datetime.fromisoformat(approval.expires_at):
        raise ApprovalExpiredError(
            f"The approval of run {subject.run_id} by {approval.approver} expired at {approval.expires_at}. "
            "Upload the dataset again to get a fresh run."
        )


def consume_approval(signed: SignedApproval, *, by: str, now: datetime, s3: Any, bucket: str) -> None:
    """Mark the approval as used by one execution; the same execution may say so again after a retry.

    Raises: ApprovalUsedError when another execution used it.
    """
    approval = signed.approval
    run_id = approval.subject.run_id
    body = {"run_id": run_id, "nonce": approval.nonce, "consumed_by": by, "consumed_at": now.isoformat()}
    if put_once(canonical(body), s3=s3, bucket=bucket, key=consumed_key(run_id)):
        return
    used = json.loads(read_object(s3=s3, bucket=bucket, key=consumed_key(run_id)) or b"{}")
    if used.get("consumed_by") != by:
        raise ApprovalUsedError(
            f"The approval of run {run_id} was used at {used.get('consumed_at')} "
            f"by {used.get('consumed_by')}; an approval releases once."
        )


def approval_key(run_id: str) -> str:
    """Where the ledger bucket keeps the record of a run's approval."""
    return f"approvals/{run_id}.json"


def consumed_key(run_id: str) -> str:
    """Where the ledger bucket keeps the proof that the approval was used."""
    return f"approvals/{run_id}.consumed.json"


def _check_signature(signed: SignedApproval, *, kms: Any, key_id: str) -> None:
    run_id = signed.approval.subject.run_id
    if not is_genuine(signed.approval.record(), signed.signature, kms=kms, key_id=key_id):
        raise ApprovalForgedError(
            f"The approval record of run {run_id} does not carry the approval key's signature: "
            "it was forged or changed after it was signed. Look into the ledger bucket's access log."
        )


def _check_subject(approved: Subject, wanted: Subject) -> None:
    for field in dataclasses.fields(Subject):
        had, has = getattr(approved, field.name), getattr(wanted, field.name)
        if had != has:
            raise ApprovalMismatchError(
                f"The approval of run {wanted.run_id} is for {field.name} {had}, but the release has {has}."
            )


def _parse(stored: bytes, *, run_id: str) -> SignedApproval:
    try:
        document = json.loads(stored)
        record = dict(document["record"])
        names = [field.name for field in dataclasses.fields(Subject)]
        approval = Approval(subject=Subject(**{name: record.pop(name) for name in names}), **record)
        datetime.fromisoformat(approval.expires_at)
        signature = base64.b64decode(document["signature"], validate=True)
        return SignedApproval(approval=approval, signature=signature)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ApprovalForgedError(f"The approval record of run {run_id} cannot be read: {error!r}") from None
