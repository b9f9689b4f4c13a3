"""What really runs on an endpoint and where it came from: configuration, model package, run, approval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline.approval import load_approval
from pipeline.errors import ApprovalMissingError, SmokeError, UsageError
from pipeline.names import PipelineNames
from pipeline.release import Release
from pipeline.runs_table import RunsTable, release_attribute


@dataclass(frozen=True)
class Status:
    """`approved_by` is empty where no approval is needed."""

    environment: str
    model: str
    endpoint: str
    endpoint_status: str
    failure_reason: str | None
    endpoint_config: str
    model_package: str
    run_id: str
    image_digest: str
    training_image_digest: str
    model_sha256: str
    dataset_bucket: str
    dataset_key: str
    dataset_version_id: str
    dataset_sha256: str
    uploaded_by: str | None
    approved_by: str | None
    commit: str
    in_service_since: str | None


@dataclass(frozen=True)
class Lookup:
    """The services that know."""

    sagemaker: Any
    s3: Any
    runs: RunsTable


def read_status(lookup: Lookup, names: PipelineNames, model: str) -> Status:
    """Raises: UsageError when nothing has been released yet."""
    endpoint_name = names.model(model).endpoint
    endpoint = _describe_endpoint(lookup.sagemaker, endpoint_name)
    tags = _read_tags(lookup.sagemaker, endpoint["EndpointConfigName"])
    package = lookup.sagemaker.describe_model_package(ModelPackageName=tags["ModelPackage"])
    origin = package["CustomerMetadataProperties"]
    run = lookup.runs.get(tags["Run"])
    return Status(
        environment=names.environment,
        model=model,
        endpoint=endpoint_name,
        endpoint_status=endpoint["EndpointStatus"],
        failure_reason=endpoint.get("FailureReason"),
        endpoint_config=endpoint["EndpointConfigName"],
        model_package=tags["ModelPackage"],
        run_id=tags["Run"],
        image_digest=running_digest(endpoint),
        training_image_digest=origin["training_image_digest"],
        model_sha256=origin["model_sha256"],
        dataset_bucket=run["bucket"],
        dataset_key=run["key"],
        dataset_version_id=run["version_id"],
        dataset_sha256=origin["dataset_sha256"],
        uploaded_by=run.get("uploaded_by"),
        approved_by=_read_approver(lookup.s3, names, tags["Run"]),
        commit=tags["Commit"],
        in_service_since=(run.get(release_attribute(names.environment)) or {}).get("at"),
    )


def wanted_release(lookup: Lookup, status: Status, *, project: str) -> Release:
    """The release that the endpoint should be running: what its model package was approved with.

    Raises: SmokeError when another release than the last successful one is there.
    """
    _check_latest(lookup.runs, status)
    package = lookup.sagemaker.describe_model_package(ModelPackageName=status.model_package)
    container = package["InferenceSpecification"]["Containers"][0]
    return Release(
        release_id=status.run_id,
        run_id=status.run_id,
        project=project,
        model=status.model,
        environment=status.environment,
        commit=status.commit,
        endpoint_name=status.endpoint,
        model_name=status.endpoint_config,
        endpoint_config_name=status.endpoint_config,
        image=container["Image"],
        image_digest=package["CustomerMetadataProperties"]["image_digest"],
        model_data_url=container["ModelDataUrl"],
        model_sha256=status.model_sha256,
        model_package_arn=status.model_package,
    )


def _check_latest(runs: RunsTable, status: Status) -> None:
    attribute = release_attribute(status.environment)
    released = [
        (run[attribute]["at"], run["run_id"])
        for run in runs.all()
        if run["model"] == status.model and run.get(attribute, {}).get("status") == "InService"
    ]
    latest = max(released, default=("", status.run_id))[1]
    if latest != status.run_id:
        raise SmokeError(
            f"Endpoint {status.endpoint} serves run {status.run_id}, but run {latest} was released last: "
            "it was rolled back, or changed by hand."
        )


def running_digest(endpoint: dict[str, Any]) -> str:
    """The digest of the images that run, by SageMaker's own word; several are joined, for all to see."""
    images = [
        image["ResolvedImage"]
        for variant in endpoint["ProductionVariants"]
        for image in variant.get("DeployedImages", [])
    ]
    return ", ".join(sorted({image.partition("@")[2] for image in images}))


def _describe_endpoint(sagemaker: Any, name: str) -> dict[str, Any]:
    try:
        endpoint: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        # SageMaker knows no "not found" for endpoints.
        if "Could not find" not in str(error):
            raise
        raise UsageError(f"Endpoint {name} does not exist yet: nothing has been released into it.") from error
    return endpoint


def _read_tags(sagemaker: Any, config_name: str) -> dict[str, str]:
    config = sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=config["EndpointConfigArn"])
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def _read_approver(s3: Any, names: PipelineNames, run_id: str) -> str | None:
    if names.promotes_from is None:
        return None
    try:
        return load_approval(run_id, s3=s3, bucket=names.ledger_bucket).approval.approver
    except ApprovalMissingError:
        return None
