"""What differs from what was applied and released. Flow 1, watched.

Terraform compares the world with the code; the ledger says which configuration an
endpoint was released with. What differs was changed by hand, or by something that died half-way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.cleanup import environment_prefix
from pipeline.endpoints import find_endpoints
from pipeline.errors import DriftError
from pipeline.ledger import Entry
from pipeline.package import build_package
from pipeline.settings import Settings
from pipeline.stack import Delivered, ImageUris, Stack, Workshop, open_stack, package_file

TAGS = ("Project", "Environment", "ManagedBy")


@dataclass(frozen=True)
class Difference:
    """`resource` is a Terraform address, or a kind and a name."""

    resource: str
    reason: str


def find_terraform_drift(
    workshop: Workshop, target: Stack, *, delivered: Delivered | None = None
) -> list[Difference]:
    """What a plan would change, which is nothing right after an apply; the saved plan stays as it is.

    An environment is planned with what it was last given, so that nothing has to be built here. Not a
    refresh-only plan: it calls a bucket changed when the policy beside it was made.
    """
    images: ImageUris = {}
    if delivered:
        build_package(workshop.settings.checkout, package_file(workshop.settings))
        workshop, images = replace(workshop, commit=delivered.commit), delivered.images
    with tempfile.TemporaryDirectory() as folder:
        changes = open_stack(workshop, target, images=images).plan(Path(folder) / "drift.tfplan")
    words = {"create": "is gone", "delete": "should not be there", "update": "differs", "replace": "differs"}
    return [Difference(change.address, words.get(change.action, change.action)) for change in changes]


def find_release_drift(
    settings: Settings, outputs: Mapping[str, Any], *, sagemaker: Any, entries: Iterable[Entry]
) -> list[Difference]:
    """Endpoints of the environment that nobody released, or that serve something else than was released."""
    environment = outputs["pipeline"]["environment"]
    released = read_releases(entries, environment)
    found = list(find_endpoints(sagemaker, environment_prefix(settings, environment)))
    differences = [
        difference
        for endpoint in found
        for difference in compare_endpoint(
            endpoint, released.get(endpoint["EndpointName"]), tags=_read_tags(sagemaker, endpoint)
        )
    ]
    missing = sorted(set(released) - {endpoint["EndpointName"] for endpoint in found})
    return differences + [
        Difference(f"endpoint {name}", f"is gone; it was released with {released[name]}") for name in missing
    ]


def read_releases(entries: Iterable[Entry], environment: str) -> dict[str, str]:
    """The configuration that each endpoint was last released with, by endpoint; expired ones are out."""
    released: dict[str, str] = {}
    for entry in entries:
        body, details = entry.body, entry.body.get("details", {})
        if body.get("environment") != environment:
            continue
        if entry.kind == "release" and body["status"] == "InService":
            released[details["release"]["endpoint_name"]] = details["release"]["endpoint_config_name"]
        if entry.kind == "expiry":
            # A run whose gate expired removed nothing.
            for resource in details.get("removed", []):
                released.pop(resource["name"], None)
    return released


def compare_endpoint(
    endpoint: Mapping[str, Any], config: str | None, *, tags: Mapping[str, str]
) -> Iterator[Difference]:
    """What is wrong with one endpoint; `config` is what it was released with."""
    name = f"endpoint {endpoint['EndpointName']}"
    if config is None:
        yield Difference(name, "was never released: the ledger does not know it")
    elif endpoint["EndpointConfigName"] != config:
        yield Difference(name, f"serves {endpoint['EndpointConfigName']}, and was released with {config}")
    if missing := [tag for tag in TAGS if tag not in tags]:
        yield Difference(name, f"has no tag {', '.join(missing)}")


def check_drift(differences: list[Difference], *, stack: str) -> None:
    """Raises: DriftError where anything differs."""
    if differences:
        listed = "; ".join(f"{difference.resource} {difference.reason}" for difference in differences)
        raise DriftError(
            f"{stack} drifted in {len(differences)} places: {listed}. Plan and apply to bring Terraform's "
            "resources back; release again for an endpoint."
        )


def _read_tags(sagemaker: Any, endpoint: Mapping[str, Any]) -> dict[str, str]:
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint["EndpointArn"])
    return {tag["Key"]: tag["Value"] for tag in pages.search("Tags[]") if tag}
