"""The signed approval: genuine, in time, by somebody else, of this very subject, and used once."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta

import pytest
from lambda_fakes import FakeKms, FakeS3

from pipeline.approval import (
    Approval,
    Subject,
    approval_key,
    consume_approval,
    load_approval,
    package_subject,
    person,
    sign_approval,
    store_approval,
    verify_approval,
    write_approval,
)
from pipeline.errors import (
    ApprovalError,
    ApprovalExpiredError,
    ApprovalForgedError,
    ApprovalMismatchError,
    ApprovalMissingError,
    ApprovalUsedError,
    SelfApprovalError,
)

SUBJECT = Subject(
    project="mlops",
    environment="production",
    run_id="iris-0123456789abcdef",
    model_package_arn="arn:aws:sagemaker:us-east-1:123456789012:model-package/mlops-staging-iris/1",
    image_digest="sha256:" + "a" * 64,
    training_image_digest="sha256:" + "d" * 64,
    model_sha256="b" * 64,
    evaluation_sha256="c" * 64,
)


def approve(now: datetime, *, author: str | None = "alice", approver: str = "bob") -> Approval:
    return write_approval(
        SUBJECT, author=author, approver=approver, reason="good", now=now, valid_for=timedelta(hours=1)
    )


def stored(now: datetime, *, s3: FakeS3, kms: FakeKms) -> None:
    store_approval(sign_approval(approve(now), kms=kms, key_id="key"), s3=s3, bucket="ledger")


def change(s3: FakeS3, **fields: str) -> None:
    """Alter the stored record and leave its signature."""
    document = json.loads(s3.text("ledger", approval_key(SUBJECT.run_id)))
    document["record"].update(fields)
    s3.objects["ledger", approval_key(SUBJECT.run_id)] = [json.dumps(document).encode()]


def test_a_stored_approval_is_read_back_and_verified(s3: FakeS3, kms: FakeKms, now: datetime) -> None:
    stored(now, s3=s3, kms=kms)

    signed = load_approval(SUBJECT.run_id, s3=s3, bucket="ledger")
    verify_approval(signed, SUBJECT, kms=kms, key_id="key", now=now + timedelta(minutes=59))

    assert (signed.approval.author, signed.approval.approver) == ("alice", "bob")


@pytest.mark.parametrize("approver", ["alice", "Alice"])
def test_the_uploader_cannot_approve(now: datetime, approver: str) -> None:
    with pytest.raises(
        SelfApprovalError, match=rf"{approver} uploaded the dataset of run iris-.*somebody else"
    ) as error:
        approve(now, approver=approver)

    assert error.value.exit_code == 8


def test_nobody_can_approve_while_the_uploader_is_unknown(now: datetime) -> None:
    with pytest.raises(ApprovalError, match="no known uploader yet"):
        approve(now, author=None)


def test_a_second_approval_is_refused_with_the_first(s3: FakeS3, kms: FakeKms, now: datetime) -> None:
    stored(now, s3=s3, kms=kms)

    with pytest.raises(ApprovalUsedError, match="was approved already, by bob at 2026-03-01T12:00:00"):
        stored(now, s3=s3, kms=kms)


def test_no_record_is_no_approval(s3: FakeS3) -> None:
    with pytest.raises(ApprovalMissingError, match=r"no signed approval.*mlops approve iris-"):
        load_approval(SUBJECT.run_id, s3=s3, bucket="ledger")


@pytest.mark.parametrize("name", ["approver", "author", "expires_at", "model_sha256", "nonce", "reason"])
def test_a_changed_record_is_forged(name: str, s3: FakeS3, kms: FakeKms, now: datetime) -> None:
    stored(now, s3=s3, kms=kms)
    change(s3, **{name: "2999-01-01T00:00:00+00:00"})

    with pytest.raises(ApprovalForgedError, match="does not carry the approval key's signature"):
        verify_approval(
            load_approval(SUBJECT.run_id, s3=s3, bucket="ledger"), SUBJECT, kms=kms, key_id="key", now=now
        )


def test_another_keys_signature_is_forged(kms: FakeKms, now: datetime) -> None:
    signed = sign_approval(approve(now), kms=FakeKms(), key_id="key")

    with pytest.raises(ApprovalForgedError, match="signature"):
        verify_approval(signed, SUBJECT, kms=kms, key_id="key", now=now)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"record": {}}', b'{"record": {}, "signature": "%"}', b"\xff"]
)
def test_an_unreadable_record_is_forged(content: bytes, s3: FakeS3) -> None:
    s3.put_object(Bucket="ledger", Key=approval_key(SUBJECT.run_id), Body=content)

    with pytest.raises(ApprovalForgedError, match="cannot be read"):
        load_approval(SUBJECT.run_id, s3=s3, bucket="ledger")


def test_an_extra_field_in_the_record_is_forged(s3: FakeS3, kms: FakeKms, now: datetime) -> None:
    stored(now, s3=s3, kms=kms)
    change(s3, also="this")

    with pytest.raises(ApprovalForgedError, match="cannot be read"):
        load_approval(SUBJECT.run_id, s3=s3, bucket="ledger")


def test_an_approval_expires(kms: FakeKms, now: datetime) -> None:
    signed = sign_approval(approve(now), kms=kms, key_id="key")

    with pytest.raises(ApprovalExpiredError, match="by bob expired at 2026-03-01T13:00:00"):
        verify_approval(signed, SUBJECT, kms=kms, key_id="key", now=now + timedelta(hours=1))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Subject)])
def test_an_approval_of_something_else_is_refused(name: str, kms: FakeKms, now: datetime) -> None:
    signed = sign_approval(approve(now), kms=kms, key_id="key")
    other = dataclasses.replace(SUBJECT, **{name: "other"})

    with pytest.raises(ApprovalMismatchError, match=f"is for {name} .*, but the release has other"):
        verify_approval(signed, other, kms=kms, key_id="key", now=now)


def test_a_signed_self_approval_is_refused(kms: FakeKms, now: datetime) -> None:
    own = dataclasses.replace(approve(now), approver="alice")

    with pytest.raises(SelfApprovalError, match="somebody else has to approve"):
        verify_approval(sign_approval(own, kms=kms, key_id="key"), SUBJECT, kms=kms, key_id="key", now=now)


def test_an_approval_is_used_once(s3: FakeS3, kms: FakeKms, now: datetime) -> None:
    signed = sign_approval(approve(now), kms=kms, key_id="key")
    consume_approval(signed, by="execution-1", now=now, s3=s3, bucket="ledger")

    with pytest.raises(ApprovalUsedError, match=r"was used at 2026-03-01.*by execution-1.*releases once"):
        consume_approval(signed, by="execution-2", now=now, s3=s3, bucket="ledger")


def test_the_same_execution_may_use_its_approval_again(s3: FakeS3, kms: FakeKms, now: datetime) -> None:
    signed = sign_approval(approve(now), kms=kms, key_id="key")

    for _ in range(2):
        consume_approval(signed, by="execution-1", now=now, s3=s3, bucket="ledger")

    assert len(s3.objects) == 1


def test_a_package_from_elsewhere_has_no_subject() -> None:
    with pytest.raises(ApprovalMismatchError, match=r"carries no run_id.*not registered by a retraining run"):
        package_subject({"ModelPackageArn": "arn"}, project="mlops", environment="production")


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:sts::123456789012:assumed-role/mlops-approver/bob", "bob"),
        ("arn:aws:iam::123456789012:user/people/alice", "alice"),
    ],
)
def test_a_person_is_the_last_part_of_the_arn(arn: str, name: str) -> None:
    assert person(arn) == name
