"""A release of an endpoint that has scaled out keeps its number of instances, and so does the way back."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws, wait_until

from pipeline.lambdas.deploy import deploy
from pipeline.lambdas.rollback import rollback
from pipeline.lambdas.scale import scale
from pipeline.release import Autoscaling, Release, Serving, Traffic

SERVE = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

address = (os.environ.get("BIND_HOST", "0.0.0.0"), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080)))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def empty_archive() -> bytes:
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w:gz").close()
    return buffer.getvalue()


class Stand:
    """An endpoint that releases are put onto."""

    def __init__(self, aws: LocalAws, name: str, *, role_arn: str, image: str, model_url: str):
        self.sagemaker = aws.client("sagemaker")
        self.autoscaling = aws.client("application-autoscaling")
        self.name = name
        self._image = image
        self._model_url = model_url
        self.serving = Serving(
            execution_role_arn=role_arn,
            instance_type="ml.m5.large",
            instance_count=2,
            variant_name="main",
            kms_key_arn=None,
            network_isolation=True,
            subnet_ids=(),
            security_group_ids=(),
            startup_timeout_s=60,
            download_timeout_s=60,
            traffic=Traffic("ALL_AT_ONCE", 0),
            termination_wait_s=0,
            max_runtime_s=600,
            rollback_alarms=(),
            autoscaling=Autoscaling(2, 6, 1000, 300, 60),
        )

    def release(self, name: str) -> Release:
        return Release(
            release_id=name,
            run_id=name,
            project="test",
            model="iris",
            environment="staging",
            commit="0123abc",
            endpoint_name=self.name,
            model_name=f"{self.name}-{name}",
            endpoint_config_name=f"{self.name}-{name}",
            image=self._image,
            image_digest=self._image.partition("@")[2],
            model_data_url=self._model_url,
            model_sha256="b" * 64,
            model_package_arn="arn:aws:sagemaker:us-east-1:123456789012:model-package/test/1",
        )

    def deploy(self, name: str, **settings: Any) -> None:
        serving = dataclasses.replace(self.serving, **settings)
        deploy(self.release(name), serving=serving, sagemaker=self.sagemaker, autoscaling=self.autoscaling)
        self.settle()

    def scale(self, name: str) -> None:
        scale(
            self.release(name),
            serving=self.serving,
            sagemaker=self.sagemaker,
            autoscaling=self.autoscaling,
        )

    def roll_back(self, name: str) -> None:
        release = self.release(name)
        while not rollback(release, serving=self.serving, sagemaker=self.sagemaker)["settled"]:
            self.settle()

    def scale_out(self, count: int) -> None:
        """What Application Auto Scaling does when load comes."""
        self.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.name,
            DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": count}],
        )
        self.settle()

    def settle(self) -> dict[str, Any]:
        def in_service() -> dict[str, Any] | None:
            endpoint = self.sagemaker.describe_endpoint(EndpointName=self.name)
            return endpoint if endpoint["EndpointStatus"] == "InService" else None

        return dict(wait_until(in_service))

    def remove(self) -> None:
        """Gone when this returns; a test may have asked for it already."""
        endpoints = self.sagemaker.list_endpoints(NameContains=self.name)["Endpoints"]
        if endpoints and endpoints[0]["EndpointStatus"] != "Deleting":
            self.settle()
            self.sagemaker.delete_endpoint(EndpointName=self.name)
        wait_until(lambda: not self.sagemaker.list_endpoints(NameContains=self.name)["Endpoints"])

    def count(self) -> int:
        (variant,) = self.settle()["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])

    def targets(self) -> list[str]:
        found = self.autoscaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{self.name}/variant/main"]
        )
        return [target["ResourceId"] for target in found["ScalableTargets"]]


@pytest.fixture
def stand(
    aws: LocalAws, name: str, role_arn: str, bucket: str, build_image: Callable[..., str]
) -> Iterator[Stand]:
    aws.client("s3").put_object(Bucket=bucket, Key=f"{name}.tar.gz", Body=empty_archive())
    stand = Stand(
        aws,
        name,
        role_arn=role_arn,
        image=build_image({"serve": SERVE}),
        model_url=f"s3://{bucket}/{name}.tar.gz",
    )
    yield stand
    stand.remove()


def test_a_release_and_a_rollback_keep_what_scaling_came_to(stand: Stand) -> None:
    stand.deploy("first")
    stand.scale("first")
    stand.scale_out(5)

    stand.deploy("second")

    assert stand.count() == 5
    assert stand.targets() == [], "nothing scales while the release is under way"
    stand.roll_back("second")
    stand.scale("second")
    assert stand.settle()["EndpointConfigName"].endswith("-first")
    assert stand.count() == 5
    assert stand.targets() == [f"endpoint/{stand.name}/variant/main"]


def test_a_release_without_scaling_has_the_configured_count(stand: Stand) -> None:
    stand.deploy("first")
    stand.scale_out(5)

    stand.deploy("second", autoscaling=None)

    assert stand.count() == 2


def test_a_variant_that_scales_gets_another_instance_type_by_a_release_only(stand: Stand) -> None:
    stand.deploy("first")
    stand.scale("first")
    config = stand.sagemaker.describe_endpoint_config(EndpointConfigName=f"{stand.name}-first")
    (variant,) = config["ProductionVariants"]
    stand.sagemaker.create_endpoint_config(
        EndpointConfigName=f"{stand.name}-by-hand",
        ProductionVariants=[{**variant, "InstanceType": "ml.c5.large"}],
    )

    with pytest.raises(ClientError, match="must be deregistered as scalable target"):
        stand.sagemaker.update_endpoint(EndpointName=stand.name, EndpointConfigName=f"{stand.name}-by-hand")
    stand.deploy("second", instance_type="ml.c5.large")

    assert stand.settle()["EndpointConfigName"].endswith("-second")


def test_scaling_ends_with_its_endpoint(stand: Stand) -> None:
    stand.deploy("first")
    stand.scale("first")

    stand.sagemaker.delete_endpoint(EndpointName=stand.name)

    assert stand.targets() == []
