"""Carry a person's answer from the model package to the waiting run. Flow: approval, third step.

SageMaker says by event that a package was approved or rejected. An approval counts only with its
signed record; a click in the console is not one. Events come at least once and late, so an answer
to a gate that is closed already is not an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from pipeline.approval import last_editor, load_approval, package_subject, verify_approval
from pipeline.lambdas import edge
from pipeline.lambdas.edge import Settings
from pipeline.runs_table import RunsTable

DEAD_TOKEN = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


@dataclass(frozen=True)
class Clients:
    """The services an answer passes through."""

    sagemaker: Any
    stepfunctions: Any
    s3: Any
    kms: Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """SageMaker Model Package State Change -> {outcome: answered|no gate|late}"""
    clients = Clients(*(edge.client(name) for name in ("sagemaker", "stepfunctions", "s3", "kms")))
    return answer_gate(event, settings=edge.settings(), clients=clients, runs=edge.runs(), now=edge.now())


def answer_gate(
    event: dict[str, Any], *, settings: Settings, clients: Clients, runs: RunsTable, now: datetime
) -> dict[str, Any]:
    """What became of the answer. Raises: ApprovalError when the approval is not a genuine record."""
    arn = event["detail"]["ModelPackageArn"]
    package = clients.sagemaker.describe_model_package(ModelPackageName=arn)
    run_id = package.get("CustomerMetadataProperties", {}).get("run_id")
    run = runs.get(run_id) if run_id else {}
    # A run that was stopped and taken up again has another package than the one it had.
    if run.get("status") != "WaitingForApproval" or run.get("model_package_arn") != arn:
        return {"outcome": "no gate", "run_id": run_id, "status": run.get("status")}
    if event["detail"]["ModelApprovalStatus"] == "Approved":
        answer = _approved(package, settings=settings, clients=clients, now=now)
    else:
        answer = _rejected(package)
    try:
        clients.stepfunctions.send_task_success(taskToken=run["task_token"], output=json.dumps(answer))
    except ClientError as error:
        if error.response["Error"]["Code"] not in DEAD_TOKEN:
            raise
        return {"outcome": "late", "run_id": run_id, "status": run["status"]}
    return {"outcome": "answered", "run_id": run_id, "status": answer["status"]}


def _approved(
    package: dict[str, Any], *, settings: Settings, clients: Clients, now: datetime
) -> dict[str, str]:
    run_id = package["CustomerMetadataProperties"]["run_id"]
    signed = load_approval(run_id, s3=clients.s3, bucket=settings.ledger_bucket)
    approval = signed.approval
    # Where the approval leads is for the release there to check; here only that it is genuine.
    subject = package_subject(package, project=settings.project, environment=approval.subject.environment)
    verify_approval(signed, subject, kms=clients.kms, key_id=settings.approval_key_id, now=now)
    return {"status": "Approved", "by": approval.approver, "reason": approval.reason}


def _rejected(package: dict[str, Any]) -> dict[str, str]:
    by = last_editor(package) or "unknown"
    description = package.get("ApprovalDescription") or "no reason was given"
    return {"status": "Rejected", "by": by, "reason": description.removeprefix(f"rejected by {by}: ")}
