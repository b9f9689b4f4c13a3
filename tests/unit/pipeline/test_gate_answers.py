from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import ApprovalError, ApprovalUsedError, SelfApprovalError, UsageError
from pipeline.gate import Gate, find_waiting_run, give_approval, prepare_approval, reject_run
from pipeline.names import PipelineNames
from pipeline.runs_table import RunsTable

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUN = "iris-0123456789abcdef"
PACKAGE = "arn:aws:sagemaker:us-east-1:1:model-package/mlops-staging-iris/1"
NAMES = PipelineNames("staging", "d", "m", "r", "ledger", "key", None, "machine", {})


class Runs:
    def __init__(self, **item: Any) -> None:
        self.item = {"run_id": RUN, "status": "WaitingForApproval", "uploaded_by": "alice"} | item

    def get(self, run_id: str) -> dict[str, Any]:
        if run_id != RUN:
            raise UsageError(f"There is no run {run_id}.")
        return self.item | {"model_package_arn": PACKAGE, "execution_arn": "execution"}


class SageMaker:
    """One model package that remembers its answers."""

    def __init__(self, status: str = "PendingManualApproval") -> None:
        self.status = status
        self.answers: list[dict[str, str]] = []

    def describe_model_package(self, **_request: str) -> dict[str, Any]:
        names = ("run_id", "image_digest", "training_image_digest", "model_sha256", "evaluation_sha256")
        properties = dict.fromkeys(names, RUN)
        return {
            "ModelPackageArn": PACKAGE,
            "ModelApprovalStatus": self.status,
            "CustomerMetadataProperties": properties,
        }

    def update_model_package(self, **answer: str) -> None:
        self.answers.append(answer)


class States:
    """One execution's history."""

    def __init__(self, *events: str) -> None:
        self.events = [{"type": event} for event in events]

    def get_execution_history(self, *, maxResults: int, **request: Any) -> dict[str, Any]:  # noqa: N803
        assert request == {"executionArn": "execution", "reverseOrder": True}
        return {"events": self.events[::-1][:maxResults]}


class Kms:
    def sign(self, **_request: Any) -> dict[str, bytes]:
        return {"Signature": b"signature"}


class S3:
    """Objects that are written once."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: bytes, **_rest: str) -> None:  # noqa: N803
        if Key in self.objects:
            answer: Any = {"Error": {"Code": "PreconditionFailed", "Message": ""}}
            raise ClientError(answer, "PutObject")
        self.objects[Key] = Body

    def get_object(self, *, Key: str, **_rest: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            answer: Any = {"Error": {"Code": "NoSuchKey", "Message": ""}}
            raise ClientError(answer, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}


def open_gate(
    *,
    runs: Runs | None = None,
    sagemaker: SageMaker | None = None,
    s3: S3 | None = None,
    events: tuple[str, ...] = ("ExecutionStarted", "TaskSubmitted"),
) -> Gate:
    return Gate(
        project="mlops",
        names=NAMES,
        runs=cast(RunsTable, runs or Runs()),
        sagemaker=sagemaker or SageMaker(),
        states=States(*events),
        kms=Kms(),
        s3=s3 or S3(),
    )


def approve(gate: Gate, run_id: str = RUN, approver: str = "bob") -> object:
    run = find_waiting_run(gate, run_id)
    return give_approval(gate, prepare_approval(gate, run, approver=approver, reason="good", now=NOW))


def test_an_approval_is_stored_before_the_package_is_answered() -> None:
    s3, sagemaker = S3(), SageMaker()

    approve(open_gate(s3=s3, sagemaker=sagemaker))

    assert list(s3.objects) == [f"approvals/{RUN}.json"]
    assert sagemaker.answers == [
        {
            "ModelPackageArn": PACKAGE,
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "approved by bob: good",
        }
    ]


def test_the_uploader_may_not_approve_and_nothing_is_stored() -> None:
    s3, sagemaker = S3(), SageMaker()

    with pytest.raises(SelfApprovalError, match="alice uploaded the dataset"):
        approve(open_gate(s3=s3, sagemaker=sagemaker), approver="alice")

    assert (s3.objects, sagemaker.answers) == ({}, [])


def test_an_unknown_uploader_is_no_other_person() -> None:
    with pytest.raises(ApprovalError, match="no known uploader yet"):
        approve(open_gate(runs=Runs(uploaded_by=None)))


def test_an_unknown_run_is_refused() -> None:
    with pytest.raises(UsageError, match="There is no run iris-absent"):
        approve(open_gate(), run_id="iris-absent")


def test_a_run_that_does_not_wait_is_refused() -> None:
    with pytest.raises(ApprovalError, match="is Quarantined, not waiting for approval: line 4"):
        approve(open_gate(runs=Runs(status="Quarantined", reason="line 4")))


@pytest.mark.parametrize("end", ["ExecutionAborted", "ExecutionTimedOut", "ExecutionFailed"])
def test_a_run_whose_execution_ended_takes_no_answer(end: str) -> None:
    s3, sagemaker = S3(), SageMaker()
    gate = open_gate(s3=s3, sagemaker=sagemaker, events=("ExecutionStarted", "TaskSubmitted", end))

    with pytest.raises(ApprovalError, match=rf"waits for no answer any more: its execution ended \({end}\)"):
        approve(gate)
    with pytest.raises(ApprovalError, match="waits for no answer any more"):
        reject_run(gate, RUN, rejecter="bob", reason="bad")
    assert (s3.objects, sagemaker.answers) == ({}, [])


def test_a_second_approval_by_somebody_else_is_refused() -> None:
    s3 = S3()
    approve(open_gate(s3=s3))

    with pytest.raises(ApprovalUsedError, match="was approved already, by bob"):
        approve(open_gate(s3=s3), approver="carol")


def test_a_package_approved_in_the_console_still_wants_a_signed_record() -> None:
    s3 = S3()

    approve(open_gate(s3=s3, sagemaker=SageMaker(status="Approved")))

    assert list(s3.objects) == [f"approvals/{RUN}.json"]


def test_a_rejected_package_is_not_approved() -> None:
    with pytest.raises(ApprovalUsedError, match="was rejected already"):
        approve(open_gate(sagemaker=SageMaker(status="Rejected")))


def test_an_approved_run_is_not_rejected() -> None:
    s3 = S3()
    approve(open_gate(s3=s3))

    with pytest.raises(ApprovalUsedError, match="was approved already, by bob; it is being released"):
        reject_run(open_gate(s3=s3), RUN, rejecter="carol", reason="late")


def test_an_approval_that_died_before_its_answer_is_finished_by_the_same_person() -> None:
    s3, sagemaker = S3(), SageMaker()
    approve(open_gate(s3=s3))

    approve(open_gate(s3=s3, sagemaker=sagemaker))

    assert len(s3.objects) == 1
    assert [answer["ModelApprovalStatus"] for answer in sagemaker.answers] == ["Approved"]


def test_a_rejection_stores_no_approval() -> None:
    s3, sagemaker = S3(), SageMaker()

    reject_run(open_gate(s3=s3, sagemaker=sagemaker), RUN, rejecter="bob", reason="too few rows")

    assert s3.objects == {}
    assert sagemaker.answers[0]["ApprovalDescription"] == "rejected by bob: too few rows"
