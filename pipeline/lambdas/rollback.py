"""Bring an endpoint back to what it served before a failed release. Flow: approval, when a step fails.

Called again and again by the state machine until it says `settled`: each call looks at what is there
and takes the one next step, so a call that is repeated or was cut off does no harm. What the release
made is deleted last, when nothing uses it any more.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import RollbackError
from pipeline.lambdas import edge
from pipeline.lambdas.deploy import previous_config
from pipeline.lambdas.sagemaker import describe
from pipeline.lease import FencedEndpoints, retake_lease
from pipeline.release import BUSY, Release, Serving, parse_serving, pending_config, retained_count


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{release, execution_arn, serving} -> {settled, rolled_back_to}"""
    release, sagemaker = Release(**event["release"]), edge.client("sagemaker")
    lease = retake_lease(
        release.endpoint_name,
        holder=event["execution_arn"],
        table=edge.settings().runs_table,
        dynamodb=edge.client("dynamodb"),
    )
    if lease is None:
        # It never got as far as the endpoint, or somebody else has it: what is there is not this release's.
        endpoint = describe(sagemaker.describe_endpoint, EndpointName=release.endpoint_name)
        return {"settled": True, "rolled_back_to": endpoint["EndpointConfigName"] if endpoint else None}
    fenced = FencedEndpoints(sagemaker, lease)
    return rollback(release, serving=parse_serving(event["serving"]), sagemaker=fenced)


def rollback(release: Release, *, serving: Serving, sagemaker: Any) -> dict[str, Any]:
    """Whether the endpoint is back, and on which configuration; None means that there is none."""
    endpoint = describe(sagemaker.describe_endpoint, EndpointName=release.endpoint_name)
    if endpoint is None:
        return _settled(release, None, sagemaker=sagemaker)
    wanted = release.endpoint_config_name
    current = endpoint["EndpointConfigName"]
    if wanted not in (current, pending_config(endpoint)):
        return _settled(release, current, sagemaker=sagemaker)
    previous = previous_config(release, sagemaker=sagemaker)
    if previous is None:
        _delete_endpoint(release, sagemaker=sagemaker)
    elif endpoint["EndpointStatus"] in BUSY:
        pass  # SageMaker takes no change now; it may also be rolling back by itself.
    elif endpoint["EndpointStatus"] == "InService":
        sagemaker.update_endpoint(
            EndpointName=release.endpoint_name,
            EndpointConfigName=previous,
            **retained_count(endpoint, serving=serving),
        )
    else:
        raise RollbackError(
            f"Endpoint {release.endpoint_name} is {endpoint['EndpointStatus']} "
            f"({endpoint.get('FailureReason', 'no reason given')}) and takes no update. Delete it and "
            f"release the run of {previous} again."
        )
    return {"settled": False, "rolled_back_to": previous}


def _delete_endpoint(release: Release, *, sagemaker: Any) -> None:
    """Ask for the deletion; while the endpoint is being made SageMaker may refuse, so ask again later."""
    try:
        sagemaker.delete_endpoint(EndpointName=release.endpoint_name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise


def _settled(release: Release, rolled_back_to: str | None, *, sagemaker: Any) -> dict[str, Any]:
    config = release.endpoint_config_name
    if describe(sagemaker.describe_endpoint_config, EndpointConfigName=config):
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
    if describe(sagemaker.describe_model, ModelName=release.model_name):
        sagemaker.delete_model(ModelName=release.model_name)
    return {"settled": True, "rolled_back_to": rolled_back_to}
