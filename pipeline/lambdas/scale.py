"""Let a released endpoint scale, or scale again after a rollback. Flow: approval, after the smoke test.

`deploy` holds the scaling: SageMaker takes no change of a fleet while it replaces it, and refuses another
instance type for a variant that scales. Here it is registered anew, for the variants that there really are.
"""

from __future__ import annotations

from typing import Any

from pipeline.lambdas import edge
from pipeline.lambdas.sagemaker import describe
from pipeline.release import Release, Serving, parse_serving, scaling_policy_request, scaling_target_request


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{release, serving} -> {scaling}, the resource ids that scale"""
    return scale(
        Release(**event["release"]),
        serving=parse_serving(event["serving"]),
        sagemaker=edge.client("sagemaker"),
        autoscaling=edge.client("application-autoscaling"),
    )


def scale(release: Release, *, serving: Serving, sagemaker: Any, autoscaling: Any) -> dict[str, Any]:
    """The variants that scale from now on: none where no scaling is set, or no endpoint is left."""
    if serving.autoscaling is None:
        return {"scaling": []}
    endpoint = describe(sagemaker.describe_endpoint, EndpointName=release.endpoint_name) or {}
    scaling = []
    for variant in endpoint.get("ProductionVariants", []):
        target = scaling_target_request(
            release.endpoint_name, variant["VariantName"], bounds=serving.autoscaling
        )
        autoscaling.register_scalable_target(**target)
        autoscaling.put_scaling_policy(
            **scaling_policy_request(
                release.endpoint_name, variant["VariantName"], bounds=serving.autoscaling
            )
        )
        scaling.append(target["ResourceId"])
    return {"scaling": scaling}
