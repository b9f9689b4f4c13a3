"""A person's answer to a waiting run: a signed record, then the model package's status. Flow 3, start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.approval import (
    Approval,
    Subject,
    load_approval,
    package_subject,
    sign_approval,
    store_approval,
    write_approval,
)
from pipeline.errors import ApprovalError, ApprovalMissingError, ApprovalUsedError
from pipeline.names import PipelineNames
from pipeline.runs_table import RunsTable

VALID_FOR = timedelta(hours=24)
ENDS = tuple(f"Execution{end}" for end in ("Succeeded", "Failed", "Aborted", "TimedOut"))


@dataclass(frozen=True)
class Gate:
    """Where answers go, and what is needed to give one."""

    project: str
    names: PipelineNames
    runs: RunsTable
    sagemaker: Any
    states: Any
    kms: Any
    s3: Any


def prepare_approval(
    gate: Gate, run: Mapping[str, Any], *, approver: str, reason: str, now: datetime
) -> Approval:
    """The approval as it would be signed. Raises: ApprovalError, when this person may not give it."""
    subject = read_subject(gate, run)
    return write_approval(
        subject, author=run.get("uploaded_by"), approver=approver, reason=reason, now=now, valid_for=VALID_FOR
    )


def give_approval(gate: Gate, prepared: Approval) -> Approval:
    """The signed and stored approval, after which the release begins. Raises: ApprovalUsedError."""
    approval = _store(gate, prepared)
    gate.sagemaker.update_model_package(
        **answer_request(
            approval.subject.model_package_arn,
            status="Approved",
            by=approval.approver,
            reason=approval.reason,
        )
    )
    return approval


def reject_run(gate: Gate, run_id: str, *, rejecter: str, reason: str) -> Subject:
    """Ends the run; production is not touched. Raises: ApprovalError, UsageError for an unknown run."""
    subject = read_subject(gate, find_waiting_run(gate, run_id))
    _refuse_after_approval(gate, run_id)
    gate.sagemaker.update_model_package(
        **answer_request(subject.model_package_arn, status="Rejected", by=rejecter, reason=reason)
    )
    return subject


def find_waiting_run(gate: Gate, run_id: str) -> dict[str, Any]:
    """The run, with its evidence. Raises: ApprovalError unless its execution waits for an answer."""
    run = gate.runs.get(run_id)
    if run["status"] != "WaitingForApproval":
        raise ApprovalError(
            f"Run {run_id} is {run['status']}, not waiting for approval: {run.get('reason') or 'no reason'}."
        )
    # One that was stopped is called so by the next round of the reconciler only.
    [newest] = gate.states.get_execution_history(
        executionArn=run["execution_arn"], reverseOrder=True, maxResults=1
    )["events"]
    if newest["type"] in ENDS:
        raise ApprovalError(
            f"Run {run_id} waits for no answer any more: its execution ended ({newest['type']}). "
            "Upload the dataset again for a run that does."
        )
    return run


def read_subject(gate: Gate, run: Mapping[str, Any]) -> Subject:
    """What is answered for.

    A package that was marked Approved without a record (in the console) can still be approved properly:
    the signed record is what releases, and is written once.
    """
    package: dict[str, Any] = gate.sagemaker.describe_model_package(ModelPackageName=run["model_package_arn"])
    if package["ModelApprovalStatus"] == "Rejected":
        words = package.get("ApprovalDescription", "no reason")
        raise ApprovalUsedError(f"Run {run['run_id']} was rejected already: {words}")
    return package_subject(package, project=gate.project, environment="production")


def _refuse_after_approval(gate: Gate, run_id: str) -> None:
    try:
        earlier = load_approval(run_id, s3=gate.s3, bucket=gate.names.ledger_bucket).approval
    except ApprovalMissingError:
        return
    raise ApprovalUsedError(
        f"Run {run_id} was approved already, by {earlier.approver}; it is being released."
    )


def _store(gate: Gate, approval: Approval) -> Approval:
    """The stored record. One by the same person, with no answer yet, is a call that died half-way."""
    bucket, run_id = gate.names.ledger_bucket, approval.subject.run_id
    signed = sign_approval(approval, kms=gate.kms, key_id=gate.names.approval_key_arn)
    try:
        store_approval(signed, s3=gate.s3, bucket=bucket)
    except ApprovalUsedError:
        earlier = load_approval(run_id, s3=gate.s3, bucket=bucket).approval
        if (earlier.approver, earlier.subject) != (approval.approver, approval.subject):
            raise
        return earlier
    return approval


def answer_request(package_arn: str, *, status: str, by: str, reason: str) -> dict[str, str]:
    return {
        "ModelPackageArn": package_arn,
        "ModelApprovalStatus": status,
        "ApprovalDescription": f"{status.lower()} by {by}: {reason}",
    }
