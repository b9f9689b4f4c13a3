"""The image, built without a network and run as SageMaker runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from docker.models.images import Image
from model_programs import MODELS, ROOT, hand_over_model, predict, wait_for_ping
from test_model_pipeline import FLOWERS, STAGE, hand_through

pytestmark = pytest.mark.engine

BASE_IMAGE = os.environ.get("MLOPS_BASE_IMAGE", "local/python:3.11-bookworm")
TEST_DIR = ROOT / "container" / "test_dir"


def build(client: docker.DockerClient, target: str, **arguments: str) -> Image:
    image, _ = client.images.build(
        path=str(ROOT),
        dockerfile="container/Dockerfile",
        target=target,
        buildargs={"BASE_IMAGE": BASE_IMAGE, **arguments},
        network_mode="none",
        rm=True,
        forcerm=True,
    )
    return image


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    client = docker.from_env()
    if not client.images.list(BASE_IMAGE):
        subprocess.run([ROOT / ".ci" / "base_image.sh"], check=True, cwd=ROOT)
    subprocess.run([sys.executable, ROOT / "scripts" / "setup.py", "wheelhouse"], check=True)
    return client


@pytest.fixture(scope="module")
def image(client: docker.DockerClient) -> Image:
    return build(client, "training", MODEL_FOLDER_NAME="iris", COMMIT="0123abc")


@pytest.fixture(scope="module")
def serving_image(client: docker.DockerClient) -> Image:
    return build(client, "serving", MODEL_FOLDER_NAME="iris", COMMIT="0123abc")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A training job's /opt/ml; the container is root, so what it writes may need root to be removed."""
    return Path(shutil.copytree(TEST_DIR, tmp_path / "ml", ignore=shutil.ignore_patterns("model", "output")))


def run(client: docker.DockerClient, image: Image, program: str, base: Path | None) -> tuple[int, str]:
    """Exit code and output of one job, without a network."""
    volumes = {str(base): {"bind": "/opt/ml", "mode": "rw"}} if base else {}
    container = client.containers.run(image.id, program, detach=True, network_mode="none", volumes=volumes)
    try:
        code: int = container.wait(timeout=60)["StatusCode"]
        return code, container.logs().decode()
    finally:
        container.remove(force=True)


@pytest.fixture
def served(client: docker.DockerClient, image: Image, serving_image: Image, job: Path) -> Iterator[Container]:
    """The serving image serving the model of a job, with nothing to write to."""
    assert run(client, image, "train", job)[0] == 0
    container = client.containers.run(
        serving_image.id,
        "serve",
        detach=True,
        read_only=True,
        volumes={str(job / "model"): {"bind": "/opt/ml/model", "mode": "ro"}},
        ports={"8080/tcp": ("127.0.0.1", None)},
    )
    try:
        container.reload()
        yield container
    finally:
        container.remove(force=True)


def port_of(container: Container) -> int:
    return int(container.ports["8080/tcp"][0]["HostPort"])


@pytest.mark.parametrize("judge", ["serving_image", "image"])
def test_a_job_is_trained_and_judged_in_its_folders(
    client: docker.DockerClient, image: Image, job: Path, judge: str, request: pytest.FixtureRequest
) -> None:
    code, output = run(client, image, "train", job)
    assert code == 0, output
    hand_over_model(job)
    (job / "processing" / "input" / "holdout").mkdir()
    shutil.copy(MODELS / "iris" / "holdout.csv", job / "processing" / "input" / "holdout")
    code, output = run(client, request.getfixturevalue(judge), "evaluate", job)
    assert code == 0, output

    card: dict[str, Any] = json.loads((job / "model" / "model.json").read_text())
    report = json.loads((job / "processing" / "output" / "evaluation.json").read_text())
    assert card["hyperparameters"] == {"C": 0.5, "max_iter": 500}
    assert card["commit"] == "0123abc"
    assert all(gate["passed"] for gate in report["gates"])


def test_the_image_trains_on_its_sample_data_with_nothing_mounted(
    client: docker.DockerClient, image: Image
) -> None:
    code, output = run(client, image, "train", None)

    assert code == 0
    assert "rows=119" in output


def test_it_serves_without_rights_and_without_anything_to_write_to(served: Container) -> None:
    port = port_of(served)
    wait_for_ping(port=port)

    assert predict([[5, 3.4, 1.5, 0.2]], port=port)[0]["label"] == "setosa"
    assert {process[0] for process in served.top()["Processes"]} <= {"nobody", "65534"}


def test_it_ends_by_itself_when_it_is_stopped(served: Container) -> None:
    wait_for_ping(port=port_of(served))

    served.stop(timeout=20)

    assert served.wait()["StatusCode"] == 0


def test_it_stands_beside_another_container_of_a_pipeline(
    client: docker.DockerClient, image: Image, serving_image: Image, job: Path
) -> None:
    """They share a network, so each has a port of its own; the first one's answer is its request."""
    assert run(client, image, "train", job)[0] == 0
    before = client.containers.run(
        serving_image.id,
        ["python3", "/stage.py", "before"],
        detach=True,
        environment={"SAGEMAKER_BIND_TO_PORT": "8080"},
        volumes={str(STAGE): {"bind": "/stage.py", "mode": "ro"}},
        ports={"8080/tcp": ("127.0.0.1", None), "8081/tcp": ("127.0.0.1", None)},
    )
    try:
        client.containers.run(
            serving_image.id,
            "serve",
            detach=True,
            network_mode=f"container:{before.id}",
            auto_remove=True,
            environment={
                "SAGEMAKER_BIND_TO_PORT": "8081",
                "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
            },
            volumes={str(job / "model"): {"bind": "/opt/ml/model", "mode": "ro"}},
            labels={"before": before.id},
        )
        before.reload()
        ports = [int(before.ports[f"{port}/tcp"][0]["HostPort"]) for port in (8080, 8081)]
        for port in ports:
            wait_for_ping(port=port)

        assert hand_through(ports, "application/json", FLOWERS) == ("text/csv", b"setosa\nvirginica\n")
    finally:
        for container in client.containers.list(filters={"label": f"before={before.id}"}):
            container.stop(timeout=20)
        before.remove(force=True)


def test_a_training_job_that_is_stopped_says_so(client: docker.DockerClient, image: Image, job: Path) -> None:
    (job / "input" / "config" / "hyperparameters.json").write_text('{"max_iter": "100000000", "tol": "0"}')
    rows = (MODELS / "iris" / "train.csv").read_text().splitlines()
    (job / "input" / "data" / "train" / "iris.csv").write_text("\n".join([rows[0], *rows[1:] * 5000]))
    volumes = {str(job): {"bind": "/opt/ml", "mode": "rw"}}
    container = client.containers.run(image.id, "train", detach=True, volumes=volumes)
    try:
        with pytest.raises(Exception, match="timed out"):
            container.wait(timeout=3)
        container.stop(timeout=20)

        assert container.wait()["StatusCode"] == 143
        assert (job / "output" / "failure").read_text().startswith("Stopped: SIGTERM")
    finally:
        container.remove(force=True)


def test_another_model_is_built_by_its_folders_name(client: docker.DockerClient) -> None:
    image = build(client, "training", MODEL_FOLDER_NAME="penguins")

    code, output = run(client, image, "train", None)

    assert code == 0
    assert "rows=275" in output
    assert image.labels["org.mlops.model"] == "penguins"


@pytest.mark.parametrize(("name", "target"), [("image", "training"), ("serving_image", "serving")])
def test_labels_say_what_the_image_is(name: str, target: str, request: pytest.FixtureRequest) -> None:
    labels = request.getfixturevalue(name).labels

    assert labels["org.mlops.target"] == target
    assert labels["org.mlops.model"] == "iris"
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"


@pytest.mark.parametrize("target", ["training", "serving"])
def test_an_image_of_a_model_that_is_not_there_is_not_built(client: docker.DockerClient, target: str) -> None:
    with pytest.raises(docker.errors.BuildError, match="model_src/models/nothing"):
        build(client, target, MODEL_FOLDER_NAME="nothing")


@pytest.mark.parametrize(("name", "limit_bytes"), [("image", 500e6), ("serving_image", 220e6)])
def test_an_image_is_small(name: str, limit_bytes: float, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(name).attrs["Size"] <= limit_bytes


def test_the_training_image_has_every_program_and_no_installer(
    client: docker.DockerClient, image: Image
) -> None:
    found = list_paths(client, image)

    assert {f"/opt/program/{name}" for name in ("train", "serve", "evaluate", "model/model.yaml")} <= found
    assert not {path for path in found if path.startswith(("/source", "/wheelhouse", "/opt/program/models"))}
    assert not {path for path in found if "/site-packages/pip" in path or path.endswith("/bin/pip")}


def test_what_trains_or_installs_is_not_in_the_serving_image(
    client: docker.DockerClient, serving_image: Image
) -> None:
    found = list_paths(client, serving_image)

    assert "/opt/program/train" not in found
    packages = {path.split("/site-packages/")[1].split("/")[0] for path in found if "/site-packages/" in path}
    assert {"numpy", "onnxruntime", "granian"} <= packages
    assert not {"sklearn", "scipy", "skl2onnx", "onnx", "pandas", "pip", "setuptools"} & packages
    assert not {
        path for path in found if path.endswith((".pyi", "/tests", "/f2py", "/bin/perl", "/ensurepip"))
    }


def list_paths(client: docker.DockerClient, image: Image) -> set[str]:
    command = ["find", "/opt", "/usr", "/wheelhouse", "/source", "-xdev"]
    container = client.containers.run(image.id, command, detach=True, network_mode="none")
    try:
        container.wait(timeout=60)
        return set(container.logs(stderr=False).decode().splitlines())
    finally:
        container.remove(force=True)
