"""FAULTS 35: no secret in state, plan, log or image layer, neither a planted one nor one in use."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator

import pytest
from byte_search import find_markers, read_folder
from kept_demo import Deployment


@pytest.fixture(scope="module")
def secrets(deployment: Deployment) -> dict[str, bytes]:
    return deployment.secrets()


def objects(deployment: Deployment) -> Iterator[tuple[str, bytes]]:
    """Every version of every object: states, plans' inputs, ledger, trail files, models, datasets."""
    s3 = deployment.client("s3")
    for bucket in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", []):
                found = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
                yield f"s3://{bucket}/{version['Key']}", found["Body"].read()


def logs(deployment: Deployment) -> Iterator[tuple[str, bytes]]:
    """Every log event there is."""
    client = deployment.client("logs")
    for page in client.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            for events in client.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            ):
                yield group["logGroupName"], json.dumps(events["events"]).encode()


def test_the_search_finds_what_is_packed_in_something_else() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner", gzip.compress(b"--needle--"))

    assert find_markers([("file", packed.getvalue())], {"it": b"needle"}) == ["file!inner!gz: it"]
    assert find_markers([("file", packed.getvalue())], {"it": b"noodle"}) == []


def test_no_object_holds_a_secret(deployment: Deployment, secrets: dict[str, bytes]) -> None:
    searched = list(objects(deployment))

    assert any("tfstate" in place for place, _ in searched)
    assert any("/CloudTrail/" in place for place, _ in searched)
    assert find_markers(searched, secrets) == []


def test_no_log_holds_a_secret(deployment: Deployment, secrets: dict[str, bytes]) -> None:
    searched = list(logs(deployment))

    assert any("/aws/lambda/" in place for place, _ in searched)
    assert find_markers(searched, secrets) == []


def test_no_log_holds_the_token_that_answers_a_gate(deployment: Deployment) -> None:
    runs = deployment.client("dynamodb").scan(TableName="mlops-staging-runs")["Items"]
    waited = [run for run in runs if "task_token" in run]
    tokens = {run["run_id"]["S"]: run["task_token"]["S"].encode() for run in waited}
    searched = list(logs(deployment))

    assert tokens
    assert any("/states/mlops-staging-retraining" in place for place, _ in searched)
    assert find_markers(searched, tokens) == []


def test_no_plan_package_or_image_layer_holds_a_secret(
    deployment: Deployment, secrets: dict[str, bytes]
) -> None:
    """The build folder holds plans, outputs, the functions' package, and the registry with the layers."""
    keys = deployment.build_dir / "local/credentials"
    searched = list(read_folder(deployment.build_dir, without=[keys]))

    assert any(place.endswith("plan.json") for place, _ in searched)
    assert any("registry" in place for place, _ in searched) or deployment.runtime == "process"
    assert find_markers(searched, secrets) == []
