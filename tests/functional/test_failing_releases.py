"""A release whose model answers wrongly is undone by the deployment's own functions, in their own roles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kept_demo import SAMPLE_HEADER, SAMPLE_ROWS, Deployment, production, upload, watch

# The way back is the same whichever way images run; one runtime is enough.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")


@contextmanager
def golden_requests_expect_something_else(deployment: Deployment, environment: str) -> Iterator[None]:
    """Until it is left, no model answers the environment's golden requests as they want it."""
    s3 = deployment.client("s3")
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    place = {
        "Bucket": next(name for name in buckets if f"-{environment}-models-" in name),
        "Key": "config/iris/model.json",
    }
    kept = s3.get_object(**place)["Body"].read()
    tags = s3.get_object_tagging(**place)["TagSet"]
    model: dict[str, Any] = json.loads(kept)
    for request in model["golden"]:
        request["expect"] = {"label": "a thistle"}
    s3.put_object(**place, Body=json.dumps(model).encode(), ContentType="application/json")
    try:
        yield
    finally:
        s3.put_object(**place, Body=kept, ContentType="application/json")
        s3.put_object_tagging(**place, Tagging={"TagSet": tags})


def serving(deployment: Deployment) -> dict[str, list[str]]:
    """All endpoints with their configurations, all configurations and models."""
    sagemaker = deployment.client("sagemaker")
    endpoints = [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]]
    return {
        "endpoints": sorted(
            f"{name} {sagemaker.describe_endpoint(EndpointName=name)['EndpointConfigName']}"
            for name in endpoints
        ),
        "configs": sorted(
            one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]
        ),
        "models": sorted(one["ModelName"] for one in sagemaker.list_models()["Models"]),
    }


def dataset(folder: Path, *, rows: int) -> Path:
    file = folder / f"{rows}-rows.csv"
    file.write_text("\n".join([SAMPLE_HEADER, *SAMPLE_ROWS[:rows]]) + "\n")
    return file


def test_production_serves_again_what_it_served_before_a_failed_release(
    deployment: Deployment, tmp_path: Path
) -> None:
    run_id = upload(deployment, dataset(tmp_path, rows=len(SAMPLE_ROWS) - 5))
    assert watch(deployment, run_id)["status"] == "WaitingForApproval"
    before, resources = production(deployment), serving(deployment)

    with golden_requests_expect_something_else(deployment, "production"):
        approved = deployment.mlops("approve", run_id, "--reason", "good", "--json", profile="approver")
        released = deployment.mlops("watch", run_id, "--env", "production")

    assert approved.exit_code == 0, approved.stderr
    assert released.exit_code == 7
    assert "golden request 1: label" in released.stderr
    assert "'a thistle'" in released.stderr
    # The way back is an update too.
    assert production(deployment) | {"in_service_since": ""} == before | {"in_service_since": ""}
    assert serving(deployment) == resources
    assert deployment.mlops("smoke", "--env", "production").exit_code == 0
    entries = deployment.mlops("history", "--env", "pro", "--json", profile="approver").json["entries"]
    (body,) = [e["body"] for e in entries if e["kind"] == "release" and e["body"]["run_id"] == run_id]
    assert body["status"] == "Failed"
    assert deployment.mlops("plan", "--env", "production", "--json").json["empty"]


def test_a_candidate_that_fails_on_staging_is_rejected_and_staging_stays(
    deployment: Deployment, tmp_path: Path
) -> None:
    before, packages = serving(deployment), candidates(deployment)

    with golden_requests_expect_something_else(deployment, "staging"):
        run = watch(deployment, upload(deployment, dataset(tmp_path, rows=len(SAMPLE_ROWS) - 6)))

    assert run["status"] == "Failed"
    assert "'a thistle'" in run["reason"]
    (made,) = candidates(deployment).items() - packages.items()
    assert made[1] == "Rejected"
    assert serving(deployment) == before


def candidates(deployment: Deployment) -> dict[str, str]:
    """Whether each model package was approved, by its ARN."""
    pages = deployment.client("sagemaker").get_paginator("list_model_packages")
    found = pages.paginate(ModelPackageGroupName="mlops-staging-iris").search("ModelPackageSummaryList[]")
    return {package["ModelPackageArn"]: package["ModelApprovalStatus"] for package in found if package}
