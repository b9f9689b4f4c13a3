from __future__ import annotations

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from fake_aws import Client

from pipeline.errors import SmokeError, UsageError
from pipeline.evidence import render_evidence
from pipeline.names import ModelNames, PipelineNames
from pipeline.runs_table import RunsTable
from pipeline.status import Lookup, read_status, wanted_release

NAMES = PipelineNames(
    "staging",
    "d",
    "m",
    "r",
    "l",
    "k",
    None,
    "machine",
    {"iris": ModelNames("mlops-staging-iris", None)},
)
DIGEST = "sha256:" + "1" * 64
TRAINING_DIGEST = "sha256:" + "2" * 64
RUN: dict[str, Any] = {
    "run_id": "iris-1",
    "model": "iris",
    "bucket": "data",
    "key": "datasets/iris/train.csv",
    "version_id": "v1",
    "uploaded_by": "alice",
    "release_staging": {"status": "InService", "at": "2026-01-02"},
}


class Runs:
    def __init__(self, *runs: dict[str, Any]) -> None:
        self._runs = runs

    def get(self, run_id: str) -> dict[str, Any]:
        return next(run for run in self._runs if run["run_id"] == run_id)

    def all(self) -> list[dict[str, Any]]:
        return list(self._runs)


def sagemaker() -> Client:
    metadata = {
        "model_sha256": "m",
        "dataset_sha256": "ds",
        "image_digest": DIGEST,
        "training_image_digest": TRAINING_DIGEST,
    }
    tags = {"Run": "iris-1", "ModelPackage": "arn/1", "Commit": "abc"}
    variant = {"DeployedImages": [{"ResolvedImage": f"repo@{DIGEST}"}]}
    return Client(
        {
            "describe_endpoint": lambda **_r: {
                "EndpointStatus": "InService",
                "EndpointConfigName": "config",
                "ProductionVariants": [variant],
            },
            "describe_endpoint_config": lambda **_r: {"EndpointConfigArn": "arn"},
            "list_tags": lambda **_r: {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]},
            "describe_model_package": lambda **_r: {
                "CustomerMetadataProperties": metadata,
                "InferenceSpecification": {
                    "Containers": [{"Image": f"repo@{DIGEST}", "ModelDataUrl": "s3://m/x"}]
                },
            },
        }
    )


def look(*runs: dict[str, Any]) -> Lookup:
    return Lookup(sagemaker=sagemaker(), s3=Client({}), runs=cast(RunsTable, Runs(*(runs or (RUN,)))))


def test_the_status_leads_from_the_endpoint_back_to_the_dataset() -> None:
    status = read_status(look(), NAMES, "iris")

    assert (status.endpoint, status.endpoint_config, status.model_package) == (
        "mlops-staging-iris",
        "config",
        "arn/1",
    )
    assert status.training_image_digest == TRAINING_DIGEST
    assert (status.image_digest, status.dataset_sha256, status.dataset_version_id) == (DIGEST, "ds", "v1")
    assert (status.uploaded_by, status.approved_by, status.in_service_since) == ("alice", None, "2026-01-02")


def test_an_endpoint_that_is_not_there_is_named() -> None:
    def refuse(**_request: Any) -> dict[str, Any]:
        answer: Any = {"Error": {"Code": "ValidationException", "Message": "Could not find endpoint"}}
        raise ClientError(answer, "DescribeEndpoint")

    absent = Lookup(sagemaker=Client({"describe_endpoint": refuse}), s3=Client({}), runs=look().runs)

    with pytest.raises(UsageError, match="Endpoint mlops-staging-iris does not exist yet"):
        read_status(absent, NAMES, "iris")


def test_the_wanted_release_is_what_its_package_was_approved_with() -> None:
    lookup = look()

    release = wanted_release(lookup, read_status(lookup, NAMES, "iris"), project="mlops")

    assert (release.endpoint_config_name, release.image_digest) == ("config", DIGEST)


def test_an_endpoint_that_serves_an_older_release_is_found_out() -> None:
    newer = RUN | {"run_id": "iris-2", "release_staging": {"status": "InService", "at": "2026-01-03"}}
    lookup = look(RUN, newer)

    with pytest.raises(SmokeError, match="serves run iris-1, but run iris-2 was released last"):
        wanted_release(lookup, read_status(lookup, NAMES, "iris"), project="mlops")


def test_a_failed_release_is_not_the_last_one() -> None:
    failed = RUN | {"run_id": "iris-2", "release_staging": {"status": "Failed", "at": "2026-01-03"}}
    lookup = look(RUN, failed)

    assert wanted_release(lookup, read_status(lookup, NAMES, "iris"), project="mlops").run_id == "iris-1"


def test_the_evidence_is_readable() -> None:
    smoke = {"image_digest": DIGEST, "requests": [{"latency_ms": 3.5}, {"latency_ms": 2.0}]}

    text = render_evidence(RUN | {"metrics": {"macro_f1": 0.86666, "accuracy": 0.9}, "smoke": smoke})

    assert "metrics  accuracy 0.9, macro_f1 0.867" in text
    assert "smoke  2 golden requests answered correctly, the slowest in 3.5 ms" in text
    assert "uploaded_by  alice" in text
