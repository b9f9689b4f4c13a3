"""Put a release onto its endpoint, or find that an earlier attempt did. Flow: approval, fifth step.

Model and endpoint configuration are named after what is in them, so a resource of that name is the
wanted one. The way back is noted on the configuration before the endpoint is touched. Scaling is held until
the release has ended: see `scale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import EndpointBusyError
from pipeline.lambdas import edge
from pipeline.lambdas.sagemaker import describe
from pipeline.lease import FencedEndpoints, take_lease
from pipeline.release import (
    BUSY,
    PREVIOUS_TAG,
    Release,
    Serving,
    create_endpoint_request,
    endpoint_config_request,
    model_request,
    parse_serving,
    pending_config,
    previous_tags,
    scaling_target,
    update_endpoint_request,
)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{release, execution_arn, serving} -> {previous_endpoint_config_name, created}"""
    release = Release(**event["release"])
    lease = take_lease(
        release.endpoint_name,
        holder=event["execution_arn"],
        table=edge.settings().runs_table,
        dynamodb=edge.client("dynamodb"),
        stepfunctions=edge.client("stepfunctions"),
    )
    return deploy(
        release,
        serving=parse_serving(event["serving"]),
        sagemaker=FencedEndpoints(edge.client("sagemaker"), lease),
        autoscaling=FencedEndpoints(edge.client("application-autoscaling"), lease),
    )


def deploy(release: Release, *, serving: Serving, sagemaker: Any, autoscaling: Any) -> dict[str, Any]:
    """What the endpoint had before, and whether it is new. Raises: EndpointBusyError."""
    endpoint = describe(sagemaker.describe_endpoint, EndpointName=release.endpoint_name)
    if endpoint and endpoint["EndpointStatus"] == "Failed":
        _remove_failed(release, sagemaker=sagemaker)
        endpoint = None
    if endpoint is None:
        _ensure_resources(release, serving=serving, previous=None, sagemaker=sagemaker)
        sagemaker.create_endpoint(**create_endpoint_request(release))
        return {"previous_endpoint_config_name": None, "created": True}
    adopted = release.endpoint_config_name in (endpoint["EndpointConfigName"], pending_config(endpoint))
    if endpoint["EndpointStatus"] in BUSY and not adopted:
        raise EndpointBusyError(
            f"Endpoint {release.endpoint_name} is {endpoint['EndpointStatus']} with "
            f"{pending_config(endpoint) or endpoint['EndpointConfigName']}; run {release.run_id} has to wait."
        )
    hold_scaling(endpoint, autoscaling=autoscaling)
    if adopted:
        previous = previous_config(release, sagemaker=sagemaker)
        return {"previous_endpoint_config_name": previous, "created": previous is None}
    previous = endpoint["EndpointConfigName"]
    _ensure_resources(release, serving=serving, previous=previous, sagemaker=sagemaker)
    sagemaker.update_endpoint(**update_endpoint_request(release, serving=serving, endpoint=endpoint))
    return {"previous_endpoint_config_name": previous, "created": False}


def previous_config(release: Release, *, sagemaker: Any) -> str | None:
    """The endpoint configuration that the release replaced, as noted before it did."""
    name = release.endpoint_config_name
    config = describe(sagemaker.describe_endpoint_config, EndpointConfigName=name)
    if config is None:
        return None
    tags = sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
    return next((tag["Value"] for tag in tags if tag["Key"] == PREVIOUS_TAG), None)


def hold_scaling(endpoint: Mapping[str, Any], *, autoscaling: Any) -> None:
    """Takes the endpoint's variants out of scaling; their policies go with them.

    Source: SageMaker developer guide, "Update endpoints that use auto scaling".
    """
    variants = [variant["VariantName"] for variant in endpoint.get("ProductionVariants", [])]
    targets = {
        target["ResourceId"]: target
        for target in (scaling_target(endpoint["EndpointName"], variant) for variant in variants)
    }
    if not targets:
        return
    found = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=sorted(targets))
    for registered in found["ScalableTargets"]:
        autoscaling.deregister_scalable_target(**targets[registered["ResourceId"]])


def _ensure_resources(release: Release, *, serving: Serving, previous: str | None, sagemaker: Any) -> None:
    if describe(sagemaker.describe_model, ModelName=release.model_name) is None:
        sagemaker.create_model(**model_request(release, serving=serving))
    name = release.endpoint_config_name
    config = describe(sagemaker.describe_endpoint_config, EndpointConfigName=name)
    if config is None:
        sagemaker.create_endpoint_config(
            **endpoint_config_request(release, serving=serving, previous=previous)
        )
    elif previous:
        # Released before and replaced since: the way back is another one now.
        sagemaker.add_tags(ResourceArn=config["EndpointConfigArn"], Tags=previous_tags(previous))


def _remove_failed(release: Release, *, sagemaker: Any) -> None:
    """An endpoint that failed to be made can only be deleted; nothing is served by it."""
    sagemaker.delete_endpoint(EndpointName=release.endpoint_name)
    if describe(sagemaker.describe_endpoint, EndpointName=release.endpoint_name):
        raise EndpointBusyError(f"Endpoint {release.endpoint_name} was Failed and is being deleted.")
