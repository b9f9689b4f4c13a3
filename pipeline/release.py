"""What a release makes on SageMaker: its names, its tags and its requests, as pure functions.

Flow: approval, and the staging step of a dataset upload. Every name derives from the run and from
what is deployed, so a repeated step finds what an earlier attempt made, and the same run with other
serving settings gets an endpoint configuration of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import UsageError

MAX_NAME_CHARACTERS = 63
PREVIOUS_TAG = "Previous"
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass(frozen=True)
class Traffic:
    """How traffic moves from the old fleet to the new one."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"]
    wait_s: int
    size_percent: int | None = None


@dataclass(frozen=True)
class Autoscaling:
    """Between what bounds a variant scales, to hold how many requests a minute on each instance."""

    min_instances: int
    max_instances: int
    invocations_per_instance: float
    scale_in_cooldown_s: int
    scale_out_cooldown_s: int


@dataclass(frozen=True)
class Serving:
    """The platform team's settings for one endpoint, as Terraform hands them over."""

    execution_role_arn: str
    instance_type: str
    instance_count: int
    variant_name: str
    kms_key_arn: str | None
    network_isolation: bool
    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    startup_timeout_s: int
    download_timeout_s: int
    traffic: Traffic
    termination_wait_s: int
    max_runtime_s: int
    rollback_alarms: tuple[str, ...]
    autoscaling: Autoscaling | None = None


@dataclass(frozen=True)
class Release:
    """One approved model on its way into one environment; `approved_by` where the environment asks.

    The dataset is what it was trained on, for whoever asks the ledger later.
    """

    release_id: str
    run_id: str
    project: str
    model: str
    environment: str
    commit: str
    endpoint_name: str
    model_name: str
    endpoint_config_name: str
    image: str
    image_digest: str
    model_data_url: str
    model_sha256: str
    model_package_arn: str
    approved_by: str | None = None
    dataset_version_id: str | None = None
    dataset_sha256: str | None = None


def parse_serving(settings: Mapping[str, Any]) -> Serving:
    """The serving settings out of the state machine's input."""
    autoscaling = settings.get("autoscaling")
    return Serving(
        **{
            **settings,
            "traffic": Traffic(**settings["traffic"]),
            "subnet_ids": tuple(settings["subnet_ids"]),
            "security_group_ids": tuple(settings["security_group_ids"]),
            "rollback_alarms": tuple(settings["rollback_alarms"]),
            "autoscaling": Autoscaling(**autoscaling) if autoscaling else None,
        }
    )


def resource_name(run_id: str, *, project: str, environment: str, content: Mapping[str, Any]) -> str:
    """The name of the release's model and endpoint configuration; other content, other name.

    Raises: UsageError when it is longer than SageMaker takes.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    name = f"{project}-{environment}-{run_id}-{digest[:8]}"
    if len(name) > MAX_NAME_CHARACTERS:
        raise UsageError(
            f"{name} is {len(name)} characters long, SageMaker takes {MAX_NAME_CHARACTERS}. Give the model "
            "or the project a shorter name."
        )
    return name


def stable_tags(release: Release) -> list[dict[str, str]]:
    """What is true of the endpoint whatever it serves."""
    tags = {
        "Project": release.project,
        "Environment": release.environment,
        "Model": release.model,
        "ManagedBy": "release",
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def release_tags(release: Release) -> list[dict[str, str]]:
    """What is true of the resources that belong to this release alone."""
    tags = {"Run": release.run_id, "Commit": release.commit, "ModelPackage": release.model_package_arn}
    return stable_tags(release) + [{"Key": key, "Value": value} for key, value in tags.items()]


def model_request(release: Release, *, serving: Serving) -> dict[str, Any]:
    """CreateModel: the approved image, by digest, with the approved artefact."""
    request: dict[str, Any] = {
        "ModelName": release.model_name,
        "PrimaryContainer": {"Image": release.image, "ModelDataUrl": release.model_data_url},
        "ExecutionRoleArn": serving.execution_role_arn,
        "EnableNetworkIsolation": serving.network_isolation,
        "Tags": release_tags(release),
    }
    if serving.subnet_ids:
        request["VpcConfig"] = {
            "Subnets": list(serving.subnet_ids),
            "SecurityGroupIds": list(serving.security_group_ids),
        }
    return request


def endpoint_config_request(release: Release, *, serving: Serving, previous: str | None) -> dict[str, Any]:
    """CreateEndpointConfig; the tag `Previous` is the way back, and outlives the process that set it."""
    request: dict[str, Any] = {
        "EndpointConfigName": release.endpoint_config_name,
        "ProductionVariants": [
            {
                "VariantName": serving.variant_name,
                "ModelName": release.model_name,
                "InitialInstanceCount": serving.instance_count,
                "InstanceType": serving.instance_type,
                "InitialVariantWeight": 1,
                "ModelDataDownloadTimeoutInSeconds": serving.download_timeout_s,
                "ContainerStartupHealthCheckTimeoutInSeconds": serving.startup_timeout_s,
            }
        ],
        "Tags": release_tags(release) + previous_tags(previous),
    }
    if serving.kms_key_arn:
        request["KmsKeyId"] = serving.kms_key_arn
    return request


def previous_tags(previous: str | None) -> list[dict[str, str]]:
    """The tag that names the endpoint configuration to go back to."""
    return [{"Key": PREVIOUS_TAG, "Value": previous}] if previous else []


def create_endpoint_request(release: Release) -> dict[str, Any]:
    """CreateEndpoint: there is no old fleet, so there is nothing to shift."""
    return {
        "EndpointName": release.endpoint_name,
        "EndpointConfigName": release.endpoint_config_name,
        "Tags": stable_tags(release),
    }


def update_endpoint_request(
    release: Release, *, serving: Serving, endpoint: Mapping[str, Any]
) -> dict[str, Any]:
    """UpdateEndpoint: blue/green, back to the old fleet by itself when an alarm goes off."""
    traffic = serving.traffic
    routing: dict[str, Any] = {"Type": traffic.type, "WaitIntervalInSeconds": traffic.wait_s}
    if traffic.type != "ALL_AT_ONCE":
        size = "CanarySize" if traffic.type == "CANARY" else "LinearStepSize"
        routing[size] = {"Type": "CAPACITY_PERCENT", "Value": traffic.size_percent}
    deployment: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": serving.termination_wait_s,
            "MaximumExecutionTimeoutInSeconds": serving.max_runtime_s,
        }
    }
    if serving.rollback_alarms:
        deployment["AutoRollbackConfiguration"] = {
            "Alarms": [{"AlarmName": name} for name in serving.rollback_alarms]
        }
    return {
        "EndpointName": release.endpoint_name,
        "EndpointConfigName": release.endpoint_config_name,
        "DeploymentConfig": deployment,
        **retained_count(endpoint, serving=serving),
    }


def retained_count(endpoint: Mapping[str, Any], *, serving: Serving) -> dict[str, Any]:
    """What of UpdateEndpoint keeps the number of instances that scaling has come to, if it is within bounds.

    SageMaker reads the number as it makes the new fleet, so no change in between is lost.
    Source: API page of UpdateEndpoint, RetainAllVariantProperties.
    """
    bounds = serving.autoscaling
    counts = [variant.get("DesiredInstanceCount") for variant in endpoint.get("ProductionVariants", [])]
    if bounds is None or not all(
        count is not None and bounds.min_instances <= count <= bounds.max_instances for count in counts
    ):
        return {}
    return {
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": [
            {"VariantPropertyType": "DesiredWeight"},
            {"VariantPropertyType": "DataCaptureConfig"},
        ],
    }


def scaling_target_request(endpoint_name: str, variant_name: str, *, bounds: Autoscaling) -> dict[str, Any]:
    """RegisterScalableTarget."""
    return {
        **scaling_target(endpoint_name, variant_name),
        "MinCapacity": bounds.min_instances,
        "MaxCapacity": bounds.max_instances,
    }


def scaling_policy_request(endpoint_name: str, variant_name: str, *, bounds: Autoscaling) -> dict[str, Any]:
    """PutScalingPolicy: hold so many invocations a minute on each instance."""
    return {
        **scaling_target(endpoint_name, variant_name),
        "PolicyName": f"{endpoint_name}-{variant_name}",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": float(bounds.invocations_per_instance),
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
            "ScaleInCooldown": bounds.scale_in_cooldown_s,
            "ScaleOutCooldown": bounds.scale_out_cooldown_s,
        },
    }


def scaling_target(endpoint_name: str, variant_name: str) -> dict[str, str]:
    """What names the instances of a variant to Application Auto Scaling."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint_name}/variant/{variant_name}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def pending_config(endpoint: Mapping[str, Any]) -> str | None:
    """The endpoint configuration that a deployment under way leads to, of a DescribeEndpoint answer."""
    pending: str | None = endpoint.get("PendingDeploymentSummary", {}).get("EndpointConfigName")
    return pending
