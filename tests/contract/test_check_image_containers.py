"""`mlops check-image` on containers: what only an engine shows."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest
from test_check_image import HERE, LIMITS, SAMPLE, failures

from pipeline.conformance.catalogue import choose_checks
from pipeline.conformance.check import Result
from pipeline.conformance.containers import ContainerRuntime
from pipeline.conformance.executor import run_checks
from pipeline.conformance.program import Launch, StartError
from pipeline.conformance.subject import Material, Subject
from pipeline.conformance.tree import make_serving_tree

pytestmark = pytest.mark.engine

BASE_IMAGES = (os.environ.get("MLOPS_BASE_IMAGE", "local/python:3.11-bookworm"), "python:3.11-slim-bookworm")
AT_ONCE = 4


@dataclass(frozen=True)
class Case:
    """The end of a Dockerfile, the checks that fail, and words that a failure's detail has."""

    dockerfile: str
    fails: tuple[str, ...] = ()
    says: str = ""
    healthy_s: float = 30


def entrypoint(name: str) -> str:
    return f"ENTRYPOINT {json.dumps(['python3', '/opt/program/corpus_broken.py', name])}"


LABELLED = "LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"
CASES = {
    "good": Case(f"{entrypoint('Good')}\n{LABELLED}"),
    "shell form": Case(
        "ENTRYPOINT python3 /opt/program/corpus_broken.py Good; echo ended",
        ("entrypoint-exec-form", "sigterm-exits"),
        "the shell gets SIGTERM",
    ),
    "no handler": Case(entrypoint("HasNoHandler"), ("sigterm-exits",), "still there"),
    "no such program": Case("", ("starts-with-serve",), "serve"),
    "port 5000": Case(
        f"{entrypoint('Good')}\nENV SAGEMAKER_BIND_TO_PORT=5000",
        ("listens-on-8080",),
        "it listens on 0.0.0.0:5000",
        healthy_s=5,
    ),
    "localhost only": Case(
        f"{entrypoint('Good')}\nENV BIND_HOST=127.0.0.1",
        ("listens-on-all-addresses",),
        "127.0.0.1:8080",
        healthy_s=5,
    ),
    "port 8080 always": Case(
        f"{entrypoint('Always8080')}\n{LABELLED}", ("bind-to-port",), "not on 8099", healthy_s=10
    ),
    "needs the network": Case(entrypoint("NeedsTheNetwork"), ("serves-offline",), "timed out"),
    "writes to the model": Case(
        entrypoint("WritesToTheModel"),
        ("model-untouched", "model-read-only"),
        "Read-only file system",
        healthy_s=10,
    ),
    "a user and a secret": Case(
        f"{entrypoint('Good')}\nUSER nobody\nENV DB_PASSWORD=hunter2",
        ("image-user", "image-no-secrets"),
        "DB_PASSWORD",
    ),
}


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[dict[str, Result]]]]:
    client = docker.from_env(timeout=120)
    base = next(name for name in BASE_IMAGES if client.images.list(name))
    model = tmp_path_factory.mktemp("model")
    (model / "model.json").write_text('{"scale": 2.0}')
    # What `NeedsTheNetwork` needs: a server on the network that is not this machine's own.
    needed = client.containers.run(base, ["python3", "-m", "http.server", "8080"], detach=True)
    try:
        needed.reload()
        environment = f"ENV NEEDED_HOST={needed.attrs['NetworkSettings']['IPAddress']}"
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {
                name: pool.submit(examine, client, f"FROM {base}\n{environment}", case, model)
                for name, case in CASES.items()
            }
    finally:
        needed.remove(force=True)


def examine(client: docker.DockerClient, base: str, case: Case, model: Path) -> dict[str, Result]:
    image = build(client, base, case)
    limits = replace(LIMITS, healthy_s=case.healthy_s)
    subject = Subject(ContainerRuntime(client, image), Material(model, SAMPLE), limits)
    try:
        results = run_checks(choose_checks(part="serving"), subject, report=lambda _: None)
    finally:
        subject.close()
        client.images.remove(image, force=True)
    return {result.check.id: result for result in results}


def build(client: docker.DockerClient, base: str, case: Case) -> str:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for source in HERE.glob("corpus_*.py"):
            archive.add(source, source.name)
        text = f"{base}\nCOPY *.py /opt/program/\n{case.dockerfile}\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    context.seek(0)
    image, _ = client.images.build(fileobj=context, custom_context=True, rm=True, network_mode="none")
    return str(image.id)


@pytest.mark.parametrize("name", CASES)
def test_a_container_fails_the_checks_of_what_it_breaks(
    name: str, examined: dict[str, Future[dict[str, Result]]]
) -> None:
    found = failures(examined[name].result())

    assert set(found) == set(CASES[name].fails), found
    assert CASES[name].says in " ".join(found.values())


def test_an_examination_leaves_nothing_behind(tmp_path: Path) -> None:
    client = docker.from_env(timeout=120)
    base = next(name for name in BASE_IMAGES if client.images.list(name))
    runtime = ContainerRuntime(client, base)
    tree = make_serving_tree(None, tmp_path / "ml")
    mine: Any = {"label": [f"{name}={value}" for name, value in runtime.label.items()]}

    # The base image has no `serve`: the container, its network and its volume are left half-made.
    with pytest.raises(StartError, match="serve"):
        runtime.start(Launch("serve", tree, offline=True, read_only_model=True))
    made = [client.containers.list(all=True, filters=mine), client.networks.list(filters=mine)]
    runtime.close()

    assert all(made)
    assert client.containers.list(all=True, filters=mine) == []
    assert client.networks.list(filters=mine) == []
    assert client.volumes.list(filters=mine) == []
