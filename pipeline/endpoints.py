"""Which endpoint configurations are in use. AWS deletes one under a living endpoint without a word.

Asked by everything of ours that deletes configurations without having made them: destroy and expiry.
Source: DeleteEndpointConfig ("You must not delete an EndpointConfig in use by an endpoint that is live").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError


def find_endpoints(sagemaker: Any, prefix: str) -> Iterator[dict[str, Any]]:
    """The endpoints whose names begin with the prefix, described."""
    pages = sagemaker.get_paginator("list_endpoints").paginate(NameContains=prefix)
    for name in list(pages.search("Endpoints[].EndpointName")):
        if not name or not name.startswith(prefix):
            continue
        try:
            yield sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            # Gone since it was listed.
            if "could not find" not in error.response["Error"]["Message"].lower():
                raise


def list_configs(endpoint: dict[str, Any]) -> set[str]:
    """What the endpoint serves from now, and what it is on its way to."""
    pending = endpoint.get("PendingDeploymentSummary", {}).get("EndpointConfigName")
    return {name for name in (endpoint.get("EndpointConfigName"), pending) if name}


def find_users(sagemaker: Any, config: str, *, prefix: str) -> list[str]:
    """Names of the endpoints that use the configuration."""
    return [
        endpoint["EndpointName"]
        for endpoint in find_endpoints(sagemaker, prefix)
        if config in list_configs(endpoint)
    ]
