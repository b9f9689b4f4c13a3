"""The container runtime: the same jobs and endpoints, as containers of a real engine."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound
from local_aws import LocalAws, create_role, wait_until
from ports import free_port
from process_image import push_process_image

from localaws import control
from localaws.engine import label_filter, label_of
from localaws.settings import Settings

pytestmark = pytest.mark.engine

BASE_IMAGES = ("local/python:3.11-bookworm", "python:3.11-slim-bookworm")
TRAIN = """#!/usr/bin/env python3
import json, os, pathlib, signal, socket, sys, time
base = pathlib.Path("/opt/ml")
parameters = json.loads((base / "input/config/hyperparameters.json").read_text())
if parameters.get("mode") == "fail":
    (base / "output/failure").write_text("no column 'species'")
    sys.exit(3)
if parameters.get("mode") == "sleep":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (base / "checkpoints/step").write_text("7")
    print("sleeping", flush=True)
    time.sleep(300)
try:
    socket.create_connection(("127.0.0.1", int(parameters["port"])), timeout=2)
    reached = True
except OSError:
    reached = False
rows = (base / "input/data/train/data.csv").read_text().split()
interfaces = sorted(os.listdir("/sys/class/net"))
(base / "model/model.json").write_text(json.dumps({"rows": len(rows), "net": interfaces, "reached": reached}))
"""
SERVE = """#!/usr/bin/env python3
import http.server, os, pathlib, signal
# Nobody else handles it for the first process of a container.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
model = pathlib.Path("/opt/ml/model/model.json").read_bytes()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(model)
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
EVALUATE = """#!/usr/bin/env python3
import pathlib
source = pathlib.Path("/opt/ml/processing/input/data/data.csv")
pathlib.Path("/opt/ml/processing/output/rows.txt").write_text(str(len(source.read_text().split())))
"""
DOCKERFILE = """
FROM {base}
ENV PATH=/opt/program:/usr/local/bin:/usr/bin:/bin
COPY train serve evaluate /opt/program/
"""


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    client = docker.from_env()
    client.ping()
    return client


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    for name in (os.environ.get("MLOPS_BASE_IMAGE"), *BASE_IMAGES):
        try:
            if name:
                engine.images.get(name)
                return name
        except ImageNotFound:
            continue
    raise AssertionError(f"The engine has none of {BASE_IMAGES}; set MLOPS_BASE_IMAGE.")


@pytest.fixture(scope="module")
def container_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    settings = Settings(free_port(), tmp_path_factory.mktemp("containers"), "container")
    control.start(settings)
    try:
        yield LocalAws(settings)
    finally:
        control.stop(settings)


@pytest.fixture(scope="module")
def role_arn(container_aws: LocalAws) -> str:
    container_aws.client("s3").create_bucket(Bucket="test-bucket")
    container_aws.client("s3").put_object(Bucket="test-bucket", Key="in/data.csv", Body=b"a\n1\n2\n")
    return create_role(container_aws, "test-sagemaker", ["s3:*", "ecr:*", "logs:*"])


@pytest.fixture(scope="module")
def image(container_aws: LocalAws, engine: docker.DockerClient, base_image: str) -> str:
    """The URI by digest of an image that the engine built and pushed."""
    ecr = container_aws.client("ecr")
    uri = ecr.create_repository(repositoryName="test-image")["repository"]["repositoryUri"]
    engine.images.build(
        fileobj=context(base_image), custom_context=True, tag=f"{uri}:v1", network_mode="none", rm=True
    )
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    auth = {"username": user, "password": password}
    lines = list(engine.images.push(uri, tag="v1", auth_config=auth, stream=True, decode=True))
    errors = [line["error"] for line in lines if "error" in line]
    assert not errors
    (digest,) = [line["aux"]["Digest"] for line in lines if "aux" in line]
    # Away with it, so that the jobs pull it.
    engine.images.remove(f"{uri}:v1", force=True)
    return f"{uri}@{digest}"


def context(base: str) -> io.BytesIO:
    files = {
        "Dockerfile": DOCKERFILE.format(base=base),
        "train": TRAIN,
        "serve": SERVE,
        "evaluate": EVALUATE,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


def train(aws: LocalAws, name: str, *, image: str, role_arn: str, **parameters: str) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://test-bucket/in/"}
    aws.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn=role_arn,
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": "s3://test-bucket/out"},
        CheckpointConfig={"S3Uri": f"s3://test-bucket/checkpoints/{name}"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 120},
        HyperParameters={"port": str(aws.settings.port), **parameters},
    )


def trained(aws: LocalAws, name: str) -> dict[str, Any]:
    def describe() -> dict[str, Any] | None:
        job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return dict(wait_until(describe, timeout_s=60))


def containers_of(engine: docker.DockerClient, settings: Settings) -> list[Any]:
    label = label_filter(label_of(settings.state_dir))
    # One that is removed while the list is made is no error.
    return list(engine.containers.list(all=True, filters={"label": label}, ignore_removed=True))


def test_training_runs_without_any_network(
    container_aws: LocalAws, engine: docker.DockerClient, name: str, image: str, role_arn: str
) -> None:
    train(container_aws, name, image=image, role_arn=role_arn)

    job = trained(container_aws, name)

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://test-bucket/")
    body = container_aws.client("s3").get_object(Bucket="test-bucket", Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        model = json.load(archive.extractfile("model.json"))  # type: ignore[arg-type]
    assert model == {"rows": 3, "net": ["lo"], "reached": False}
    assert containers_of(engine, container_aws.settings) == []


def test_training_failure_in_a_container_carries_its_reason(
    container_aws: LocalAws, name: str, image: str, role_arn: str
) -> None:
    train(container_aws, name, image=image, role_arn=role_arn, mode="fail")

    job = trained(container_aws, name)

    assert job["FailureReason"] == "AlgorithmError: no column 'species', exit code: 3"


def test_stopped_container_leaves_its_checkpoint(
    container_aws: LocalAws, name: str, image: str, role_arn: str
) -> None:
    train(container_aws, name, image=image, role_arn=role_arn, mode="sleep")
    logs, group = container_aws.client("logs"), "/aws/sagemaker/TrainingJobs"

    def sleeping() -> bool:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)["logStreams"]
        return any(
            logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
            for stream in streams
        )

    wait_until(sleeping)

    container_aws.client("sagemaker").stop_training_job(TrainingJobName=name)

    assert trained(container_aws, name)["TrainingJobStatus"] == "Stopped"
    key = f"checkpoints/{name}/step"
    assert container_aws.client("s3").get_object(Bucket="test-bucket", Key=key)["Body"].read() == b"7"


def test_processing_runs_in_a_container(
    container_aws: LocalAws, name: str, image: str, role_arn: str
) -> None:
    sagemaker = container_aws.client("sagemaker")
    source = {
        "S3Uri": "s3://test-bucket/in/data.csv",
        "LocalPath": "/opt/ml/processing/input/data",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    target = {
        "S3Uri": f"s3://test-bucket/{name}",
        "LocalPath": "/opt/ml/processing/output",
        "S3UploadMode": "EndOfJob",
    }
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        AppSpecification={"ImageUri": image, "ContainerEntrypoint": ["evaluate"]},
        RoleArn=role_arn,
        ProcessingInputs=[{"InputName": "data", "S3Input": source}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "rows", "S3Output": target}]},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
    )

    def ended() -> dict[str, Any] | None:
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] != "InProgress" else None

    job = wait_until(ended, timeout_s=60)
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    body = container_aws.client("s3").get_object(Bucket="test-bucket", Key=f"{name}/rows.txt")["Body"].read()
    assert body == b"3"


def test_endpoint_serves_from_a_container_that_reaches_nothing(
    container_aws: LocalAws, engine: docker.DockerClient, name: str, image: str, role_arn: str
) -> None:
    sagemaker = container_aws.client("sagemaker")
    container_aws.client("s3").put_object(Bucket="test-bucket", Key=f"{name}.tar.gz", Body=model_archive())
    container = {"Image": image, "ModelDataUrl": f"s3://test-bucket/{name}.tar.gz"}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role_arn)
    variant = {
        "VariantName": "main",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def settled() -> dict[str, Any] | None:
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        return endpoint if endpoint["EndpointStatus"] != "Creating" else None

    endpoint = wait_until(settled, timeout_s=60)
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    answer = container_aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"1")
    assert json.load(answer["Body"]) == {"from": "archive"}
    (running,) = containers_of(engine, container_aws.settings)
    (binding,) = running.attrs["NetworkSettings"]["Ports"]["8080/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    (network,) = running.attrs["NetworkSettings"]["Networks"].values()
    options = engine.networks.get(network["NetworkID"]).attrs["Options"]
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: containers_of(engine, container_aws.settings) == [])


def test_process_image_is_refused_where_containers_are_demanded(
    container_aws: LocalAws, name: str, role_arn: str
) -> None:
    container_aws.client("ecr").create_repository(repositoryName=name)
    reference = push_process_image(container_aws.registry(), name, "v1", {"train": "print(1)\n"})
    train(container_aws, name, image=f"{container_aws.settings.registry}/{reference}", role_arn=role_arn)

    job = trained(container_aws, name)

    assert job["TrainingJobStatus"] == "Failed"
    assert "made to run as plain processes" in job["FailureReason"]


def images_of(engine: docker.DockerClient, settings: Settings) -> list[str]:
    references = [
        reference for image in engine.images.list() for reference in image.attrs["RepoDigests"] or []
    ]
    return [reference for reference in references if reference.startswith(settings.registry)]


def test_next_start_removes_what_a_killed_server_left(
    container_aws: LocalAws, engine: docker.DockerClient, name: str, image: str, role_arn: str
) -> None:
    """The last test of this module: the server it kills is the module's."""
    settings = container_aws.settings
    train(container_aws, name, image=image, role_arn=role_arn, mode="sleep")
    wait_until(lambda: containers_of(engine, settings))
    assert images_of(engine, settings)
    os.kill(int(settings.pid_file.read_text()), signal.SIGKILL)
    wait_until(lambda: control.running_pid(settings) is None)

    control.start(settings)

    assert containers_of(engine, settings) == []
    assert images_of(engine, settings) == []
    assert engine.networks.list(filters={"label": label_filter(label_of(settings.state_dir))}) == []


def model_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        content = b'{"from": "archive"}'
        member = tarfile.TarInfo("model.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
