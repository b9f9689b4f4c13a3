"""Jobs and models in a VPC: in subnets that there are, by interfaces in the role's name, gone at the end."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws, create_role, wait_until

INTERFACES = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
]
COUNT = """
import os, pathlib
(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.txt").write_text("done")
"""
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


@pytest.fixture
def vpc(aws: LocalAws, name: str) -> dict[str, Any]:
    """VpcConfig of two subnets and a group of a new VPC."""
    ec2 = aws.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    zones = {"us-east-1a": "10.9.1.0/24", "us-east-1b": "10.9.2.0/24"}
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for zone, cidr in zones.items()
    ]
    group = ec2.create_security_group(GroupName=name, Description="test", VpcId=vpc_id)["GroupId"]
    return {"Subnets": subnets, "SecurityGroupIds": [group]}


@pytest.fixture
def role(aws: LocalAws, name: str) -> str:
    return create_role(aws, f"{name}-vpc", ["s3:*", "ecr:*", "logs:*", *INTERFACES])


def training(name: str, *, image: str, role_arn: str, bucket: str, vpc: dict[str, Any]) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": role_arn,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{name}"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "VpcConfig": vpc,
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
    }


def ended(aws: LocalAws, name: str) -> dict[str, Any]:
    def describe() -> dict[str, Any] | None:
        job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed") else None

    return dict(wait_until(describe))


def interfaces(aws: LocalAws, vpc: dict[str, Any]) -> list[dict[str, Any]]:
    found = aws.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    return [interface for interface in found if interface["SubnetId"] in vpc["Subnets"]]


def test_a_job_in_a_vpc_shows_it_and_leaves_no_interface(
    aws: LocalAws, name: str, role: str, bucket: str, vpc: dict[str, Any], build_image: Callable[..., str]
) -> None:
    image = build_image({"train": COUNT})
    aws.client("sagemaker").create_training_job(
        **training(name, image=image, role_arn=role, bucket=bucket, vpc=vpc)
    )

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["VpcConfig"] == vpc
    assert job["EnableNetworkIsolation"] is job["EnableInterContainerTrafficEncryption"] is True
    assert interfaces(aws, vpc) == []


def test_a_role_that_may_make_no_interface_fails_the_job(
    aws: LocalAws, name: str, role_arn: str, bucket: str, vpc: dict[str, Any], build_image: Callable[..., str]
) -> None:
    image = build_image({"train": COUNT})
    aws.client("sagemaker").create_training_job(
        **training(name, image=image, role_arn=role_arn, bucket=bucket, vpc=vpc)
    )

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(f"ClientError: Training job {name} cannot enter its VPC.")
    assert "ec2:DescribeSubnets" in job["FailureReason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Subnets": ["subnet-0123456789abcdef0"]}, "subnet ID 'subnet-0123456789abcdef0' does not exist"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "group 'sg-0123456789abcdef0' does not exist"),
    ],
)
def test_what_ec2_does_not_have_is_refused(
    change: dict[str, Any], reason: str, aws: LocalAws, name: str, role: str, vpc: dict[str, Any]
) -> None:
    request = training(name, image="image", role_arn=role, bucket="bucket", vpc={**vpc, **change})

    with pytest.raises(ClientError, match=reason):
        aws.client("sagemaker").create_training_job(**request)


def test_a_processing_job_is_held_to_its_vpc_too(aws: LocalAws, name: str, role: str) -> None:
    with pytest.raises(ClientError, match="subnet ID 'subnet-0' does not exist"):
        aws.client("sagemaker").create_processing_job(
            ProcessingJobName=name,
            AppSpecification={"ImageUri": "image"},
            RoleArn=role,
            ProcessingResources={
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
            NetworkConfig={"VpcConfig": {"Subnets": ["subnet-0"], "SecurityGroupIds": ["sg-0"]}},
        )


def test_a_group_of_another_network_is_refused(
    aws: LocalAws, name: str, role: str, vpc: dict[str, Any]
) -> None:
    ec2 = aws.client("ec2")
    other = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName=f"{name}-o", Description="test", VpcId=other)["GroupId"]

    with pytest.raises(ClientError, match="belong to different networks"):
        aws.client("sagemaker").create_model(
            ModelName=name,
            PrimaryContainer={"Image": "image"},
            ExecutionRoleArn=role,
            VpcConfig={**vpc, "SecurityGroupIds": [group]},
        )


def test_an_endpoint_has_an_interface_per_instance_while_it_lives(
    aws: LocalAws, name: str, role: str, bucket: str, vpc: dict[str, Any], build_image: Callable[..., str]
) -> None:
    sagemaker = aws.client("sagemaker")
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w:gz").close()
    aws.client("s3").put_object(Bucket=bucket, Key=f"{name}.tar.gz", Body=buffer.getvalue())
    container = {"Image": build_image({"serve": SERVE}), "ModelDataUrl": f"s3://{bucket}/{name}.tar.gz"}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, VpcConfig=vpc)
    variant = {
        "VariantName": "main",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 2,
        "InitialVariantWeight": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_until(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService")

    zones = sorted(interface["AvailabilityZone"] for interface in interfaces(aws, vpc))
    sagemaker.delete_endpoint(EndpointName=name)

    assert zones == ["us-east-1a", "us-east-1b"]
    wait_until(lambda: interfaces(aws, vpc) == [])
