"""Remove what releases made outside production and nobody released anew for so long. Flow: none; a schedule.

Endpoints go first, because they cost. What they used goes when they are gone, which is the next time that
the schedule comes round: SageMaker must find an endpoint's configuration until its deletion is over. What
was removed stands in the ledger and in the function's log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.endpoints import find_endpoints, list_configs
from pipeline.errors import UsageError
from pipeline.lambdas import edge
from pipeline.ledger import Ledger
from pipeline.release import BUSY, PREVIOUS_TAG

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@dataclass(frozen=True)
class Removed:
    kind: str
    name: str


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """{ttl_hours} -> {removed: [{kind, name}]}"""
    settings, now = edge.settings(), edge.now()
    prefix = f"{settings.project}-{settings.environment}-"
    check_environment(settings.environment)
    removed = list(
        expire(
            prefix,
            before=now - timedelta(hours=event["ttl_hours"]),
            sagemaker=edge.client("sagemaker"),
            scaling=edge.client("application-autoscaling"),
        )
    )
    found = [asdict(resource) for resource in removed]
    if found:
        record(found, settings.environment, ledger=edge.ledger(), request_id=context.aws_request_id, now=now)
    logger.info("removed %s", json.dumps(found))
    return {"removed": found}


def check_environment(environment: str) -> None:
    """Raises: UsageError for production, whatever the schedule and its permissions say."""
    if environment == "production":
        raise UsageError("Nothing in production expires. Remove its ttl_hours and apply.")


def expire(prefix: str, *, before: datetime, sagemaker: Any, scaling: Any) -> Iterator[Removed]:
    """Each resource that nobody touched since `before`, as it is removed."""
    endpoints = list(find_endpoints(sagemaker, prefix))
    for endpoint in endpoints:
        if endpoint["LastModifiedTime"] < before and endpoint["EndpointStatus"] not in BUSY:
            yield from _remove_endpoint(endpoint, sagemaker=sagemaker, scaling=scaling)
    # As they were listed: what was asked to go this time still needs what it uses.
    used = set[str]().union(*(list_configs(endpoint) for endpoint in endpoints))
    used |= set(_find_ways_back(used, sagemaker=sagemaker))
    yield from _remove_unused(prefix, used=used, before=before, sagemaker=sagemaker)


def record(
    removed: list[dict[str, str]], environment: str, *, ledger: Ledger, request_id: str, now: datetime
) -> None:
    names = ", ".join(f"{resource['kind']} {resource['name']}" for resource in removed)
    body = {
        "environment": environment,
        "run_id": "",
        "status": "Expired",
        "reason": f"outlived its time: {names}",
        "details": {"removed": removed},
    }
    ledger.append("expiry", body, entry_id=f"expiry-{request_id}", since=now)


def _remove_endpoint(endpoint: dict[str, Any], *, sagemaker: Any, scaling: Any) -> Iterator[Removed]:
    name = endpoint["EndpointName"]
    resource_ids = [
        f"endpoint/{name}/variant/{variant['VariantName']}" for variant in endpoint["ProductionVariants"]
    ]
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=resource_ids)
    for target in targets["ScalableTargets"]:
        scaling.deregister_scalable_target(
            ServiceNamespace="sagemaker", ResourceId=target["ResourceId"], ScalableDimension=DIMENSION
        )
        yield Removed("scaling target", target["ResourceId"])
    sagemaker.delete_endpoint(EndpointName=name)
    yield Removed("endpoint", name)


def _find_ways_back(configs: set[str], *, sagemaker: Any) -> Iterator[str]:
    """What a roll-back of these configurations would need."""
    for config in configs:
        arn = sagemaker.describe_endpoint_config(EndpointConfigName=config)["EndpointConfigArn"]
        tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
        yield from (tag["Value"] for tag in tags if tag["Key"] == PREVIOUS_TAG)


def _remove_unused(prefix: str, *, used: set[str], before: datetime, sagemaker: Any) -> Iterator[Removed]:
    """Configurations that no endpoint uses, then models that no configuration that stays names."""
    kept_models = set[str]()
    for config in _list(sagemaker, "list_endpoint_configs", "EndpointConfigs", prefix):
        name = config["EndpointConfigName"]
        if name in used or config["CreationTime"] >= before:
            kept_models |= _find_models(name, sagemaker=sagemaker)
            continue
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        yield Removed("endpoint configuration", name)
    for model in _list(sagemaker, "list_models", "Models", prefix):
        if model["ModelName"] not in kept_models and model["CreationTime"] < before:
            sagemaker.delete_model(ModelName=model["ModelName"])
            yield Removed("model", model["ModelName"])


def _find_models(config: str, *, sagemaker: Any) -> set[str]:
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    return {variant["ModelName"] for variant in variants}


def _list(sagemaker: Any, operation: str, member: str, prefix: str) -> list[dict[str, Any]]:
    """What is listed under names that begin with the prefix."""
    pages = sagemaker.get_paginator(operation).paginate(NameContains=prefix)
    name = f"{member.removesuffix('s')}Name"
    return [item for item in pages.search(f"{member}[]") if item and item[name].startswith(prefix)]
