"""Decide whether a model package may be released, and say under which names. Flow: approval, fourth step.

Everything is checked before anything is touched: the package, its digests, the signed approval, the
bytes of the artefact. Then the approval is used up and the artefact copied to the environment's own
bucket, from where the endpoint loads it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.approval import (
    Approval,
    Subject,
    consume_approval,
    last_editor,
    load_approval,
    package_subject,
    verify_approval,
)
from pipeline.artefact import HashedVersion, copy_version, hash_latest
from pipeline.errors import ApprovalMismatchError, ReleaseRefusedError
from pipeline.lambdas import edge
from pipeline.lambdas.edge import Settings
from pipeline.release import Release, resource_name
from pipeline.runs_table import RunsTable

# The package's event reaches the release and the waiting run side by side, so either may be first.
RELEASABLE = ("WaitingForApproval", "Approved")


@dataclass(frozen=True)
class Clients:
    """The services a decision needs."""

    sagemaker: Any
    s3: Any
    kms: Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{model_package_arn, execution_arn, model, endpoint_name, serving} -> {release}"""
    clients = Clients(*(edge.client(name) for name in ("sagemaker", "s3", "kms")))
    release = authorise(event, settings=edge.settings(), clients=clients, runs=edge.runs(), now=edge.now())
    return {"release": dataclasses.asdict(release)}


def authorise(
    request: dict[str, Any], *, settings: Settings, clients: Clients, runs: RunsTable, now: datetime
) -> Release:
    """The release to make. Raises: ReleaseRefusedError, ApprovalError."""
    package = clients.sagemaker.describe_model_package(ModelPackageName=request["model_package_arn"])
    subject = package_subject(package, project=settings.project, environment=settings.environment)
    image, model_uri = _container(package, subject=subject, model=request["model"])
    artefact = hash_latest(model_uri, s3=clients.s3)
    if artefact.sha256 != subject.model_sha256:
        raise ReleaseRefusedError(
            f"The model of run {subject.run_id} at {model_uri} has sha256 {artefact.sha256}, but "
            f"{subject.model_sha256} was evaluated. It was changed afterwards; upload the dataset again."
        )
    approver = None
    if settings.approval_required:
        approver = _use_approval(
            package, subject, request["execution_arn"], settings=settings, clients=clients, runs=runs, now=now
        )
    release = _prepare(request, subject, image=image, artefact=artefact, settings=settings, s3=clients.s3)
    origin = package["CustomerMetadataProperties"]
    return dataclasses.replace(
        release,
        approved_by=approver,
        dataset_version_id=origin.get("dataset_version_id"),
        dataset_sha256=origin.get("dataset_sha256"),
    )


def _container(package: dict[str, Any], *, subject: Subject, model: str) -> tuple[str, str]:
    """Image and artefact of the package, which must be the model's own and name its image by digest."""
    if subject.run_id.rpartition("-")[0] != model:
        raise ReleaseRefusedError(
            f"Model package {subject.model_package_arn} is of run {subject.run_id}, not of model {model}."
        )
    container = package["InferenceSpecification"]["Containers"][0]
    digest = container["Image"].partition("@")[2]
    if digest != subject.image_digest:
        raise ReleaseRefusedError(
            f"The image of run {subject.run_id} is {container['Image']}, but the model was evaluated in "
            f"{subject.image_digest}."
        )
    return container["Image"], container["ModelDataUrl"]


def _use_approval(
    package: dict[str, Any],
    subject: Subject,
    execution_arn: str,
    *,
    settings: Settings,
    clients: Clients,
    runs: RunsTable,
    now: datetime,
) -> str:
    """The approver; the signed approval is verified and used up, for this execution only."""
    run = runs.get(subject.run_id)
    if run["status"] not in RELEASABLE or package["ModelApprovalStatus"] != "Approved":
        raise ReleaseRefusedError(
            f"Run {subject.run_id} is {run['status']} and its package {package['ModelApprovalStatus']}; "
            "only an approved one is released."
        )
    signed = load_approval(subject.run_id, s3=clients.s3, bucket=settings.ledger_bucket)
    verify_approval(signed, subject, kms=clients.kms, key_id=settings.approval_key_id, now=now)
    _check_people(signed.approval, run=run, package=package)
    consume_approval(signed, by=execution_arn, now=now, s3=clients.s3, bucket=settings.ledger_bucket)
    return signed.approval.approver


def _check_people(approval: Approval, *, run: dict[str, Any], package: dict[str, Any]) -> None:
    """The approver signs, so the record alone could name anybody; the run and SageMaker know better."""
    uploader = run.get("uploaded_by")
    if approval.author != uploader:
        raise ApprovalMismatchError(
            f"The approval of run {run['run_id']} names {approval.author} as author, but {uploader} uploaded "
            "the dataset."
        )
    approver = last_editor(package)
    if approval.approver != approver:
        raise ApprovalMismatchError(
            f"The approval of run {run['run_id']} is {approval.approver}'s, but {approver} marked the "
            "package as approved."
        )


def _prepare(
    request: dict[str, Any],
    subject: Subject,
    *,
    image: str,
    artefact: HashedVersion,
    settings: Settings,
    s3: Any,
) -> Release:
    release_id = subject.run_id
    model_data_url = copy_version(
        artefact.version, bucket=settings.models_bucket, key=f"releases/{release_id}/model.tar.gz", s3=s3
    )
    name = resource_name(
        subject.run_id,
        project=settings.project,
        environment=settings.environment,
        content={"image": image, "model_sha256": subject.model_sha256, "serving": request["serving"]},
    )
    return Release(
        release_id=release_id,
        run_id=subject.run_id,
        project=settings.project,
        model=request["model"],
        environment=settings.environment,
        commit=settings.commit,
        endpoint_name=request["endpoint_name"],
        model_name=name,
        endpoint_config_name=name,
        image=image,
        image_digest=subject.image_digest,
        model_data_url=model_data_url,
        model_sha256=subject.model_sha256,
        model_package_arn=subject.model_package_arn,
    )
