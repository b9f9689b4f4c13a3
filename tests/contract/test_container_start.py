"""The container runtime and an engine whose answers get lost."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from localaws.engine import label_filter, label_of
from localaws.runtime.containers import ContainerRuntime
from localaws.runtime.errors import EngineError
from localaws.runtime.images import Image
from localaws.runtime.workload import Workload
from localaws.settings import Settings

pytestmark = pytest.mark.engine

BASE_IMAGES = (os.environ.get("MLOPS_BASE_IMAGE", "local/python:3.11-bookworm"), "python:3.11-slim-bookworm")


class LossyEngine(socketserver.ThreadingUnixStreamServer):
    """The engine, but what it answers to one kind of request never arrives."""

    daemon_threads = True

    def __init__(self, path: Path, *, engine: str, loses: bytes):
        self.engine = engine
        self.loses = loses
        super().__init__(str(path), _Forward)


class _Forward(socketserver.BaseRequestHandler):
    server: LossyEngine

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.engine)
            answering = threading.Thread(target=self.answer, args=(upstream,), daemon=True)
            self.lost = False
            answering.start()
            while data := self.request.recv(65536):
                self.lost = self.lost or self.server.loses in data
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)
            answering.join()

    def answer(self, upstream: socket.socket) -> None:
        while data := upstream.recv(65536):
            if self.lost:
                self.request.shutdown(socket.SHUT_RDWR)
                return
            self.request.sendall(data)


class EngineImage(Image):
    """An image that the engine has, under the name it has there."""

    @property
    def pinned_uri(self) -> str:
        return self.uri


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.mark.parametrize("loses", [b"/containers/create", b"/start HTTP"])
def test_a_container_whose_start_was_not_answered_is_not_left(
    engine: docker.DockerClient, tmp_path: Path, loses: bytes
) -> None:
    base = next(name for name in BASE_IMAGES if engine.images.list(name))
    settings = Settings(1, tmp_path, "container")
    (tmp_path / "ml").mkdir()
    image = EngineImage(base, None, "", "", {}, ())  # type: ignore[arg-type]
    workload = Workload("job", image, tmp_path / "ml", arguments=("sleep", "60"))
    path = tmp_path / "engine.sock"
    with LossyEngine(path, engine="/var/run/docker.sock", loses=loses) as lossy:
        threading.Thread(target=lossy.serve_forever, daemon=True).start()
        client = docker.DockerClient(base_url=f"unix://{path}", timeout=30)
        runtime = ContainerRuntime(client, settings, password=lambda _: "")

        with pytest.raises(EngineError, match=r"the container engine failed: job was not started"):
            runtime.start(workload, lambda _: None)
        lossy.shutdown()

    mine = {"label": label_filter(label_of(settings.state_dir))}
    assert engine.containers.list(all=True, filters=mine) == []
