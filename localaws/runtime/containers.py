"""Programs of an image as containers: no bind mounts, no network for jobs, none out for endpoints."""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container

from localaws.engine import LABEL, label_filter, label_of, remove_labelled
from localaws.runtime.archives import extract, pack, read_chunks
from localaws.runtime.errors import ClientFaultError, EngineError
from localaws.runtime.images import Image
from localaws.runtime.workload import ML_ROOT, Workload
from localaws.settings import HOST, Settings

SERVE_PORT = "8080/tcp"


class ContainerRuntime:
    """Starts workloads as containers. Everything it makes carries this server's label."""

    def __init__(self, client: docker.DockerClient, settings: Settings, *, password: Callable[[Image], str]):
        self._client = client
        self._label = label_of(settings.state_dir)
        self._pulled_file = settings.pulled_file
        self._password = password
        self._lock = threading.Lock()

    def start(self, workload: Workload, log: Callable[[str], None]) -> ContainerRunning:
        self._pull(workload.image)
        arguments: dict[str, Any] = {"network_mode": "none"}
        if workload.serves:
            arguments = {"network": self._serving_network(), "ports": {SERVE_PORT: (HOST, None)}}
        if workload.entrypoint:
            arguments["entrypoint"] = list(workload.entrypoint)
        # A name of ours, by which it is found when the engine makes it and its answer is lost.
        name = f"localaws-{uuid.uuid4().hex}"
        try:
            container = self._client.containers.create(
                workload.image.pinned_uri,
                list(workload.arguments),
                name=name,
                environment=workload.environment,
                labels={**self._label, "org.mlops.localaws.workload": workload.name},
                security_opt=["no-new-privileges"],
                init=False,
                detach=True,
                **arguments,
            )
            running = ContainerRunning(container, workload)
            running.launch(log)
        except APIError as error:
            self._remove(name)
            raise _cannot_start(workload, error) from error
        except requests.RequestException as error:
            self._remove(name)
            raise EngineError(f"{workload.name} was not started: {error}") from error
        return running

    def remove_all(self) -> None:
        """Removes every container and network of this server."""
        remove_labelled(self._client, self._label)

    def _remove(self, name: str) -> None:
        with suppress(NotFound):
            self._client.containers.get(name).remove(force=True, v=True)

    def _pull(self, image: Image) -> None:
        try:
            self._client.images.get(image.pinned_uri)
        except ImageNotFound:
            credentials = {"username": "AWS", "password": self._password(image)}
            try:
                self._client.images.pull(image.pinned_uri, auth_config=credentials)
            except APIError as error:
                raise ClientFaultError(f"Cannot pull {image.uri}: {error.explanation}") from error
            with self._lock, self._pulled_file.open("a") as file:
                file.write(f"{image.pinned_uri}\n")

    def _serving_network(self) -> str:
        """A bridge whose containers are reached from this machine and reach nothing beyond it."""
        with self._lock:
            found = self._client.networks.list(filters={"label": label_filter(self._label)})
            if found:
                return str(found[0].id)
            network = self._client.networks.create(
                f"localaws-{abs(hash(self._label[LABEL])):x}",
                driver="bridge",
                labels=self._label,
                options={
                    "com.docker.network.bridge.enable_ip_masquerade": "false",
                    "com.docker.network.bridge.enable_icc": "false",
                },
            )
            return str(network.id)


class ContainerRunning:
    """A program that runs in a container."""

    def __init__(self, container: Container, workload: Workload):
        self._container = container
        self._workload = workload
        self._exited = threading.Event()
        self._exit_code: int | None = None
        self._threads: list[threading.Thread] = []

    def launch(self, log: Callable[[str], None]) -> None:
        """Puts the workload's tree into the container and starts it."""
        with tempfile.TemporaryFile() as archive:
            pack(self._workload.tree, archive, prefix=f"{ML_ROOT.lstrip('/')}/")
            archive.seek(0)
            self._container.put_archive("/", archive)
        self._container.start()
        for target, arguments in ((self._watch, ()), (self._forward, (log,))):
            thread = threading.Thread(target=target, args=arguments, daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def address(self) -> str:
        self._container.reload()
        binding = self._container.ports.get(SERVE_PORT)
        return f"{HOST}:{binding[0]['HostPort']}" if binding else f"{HOST}:0"

    def wait(self, timeout_s: float | None) -> int | None:
        if not self._exited.wait(timeout_s):
            return None
        for thread in self._threads:
            thread.join(timeout=5)
        return self._exit_code

    def stop(self, grace_s: float) -> None:
        try:
            self._container.stop(timeout=round(grace_s))
        except NotFound:
            return
        self._exited.wait()

    def collect(self) -> None:
        for result in self._workload.results:
            try:
                chunks, _ = self._container.get_archive(f"{ML_ROOT}/{result}")
            except NotFound:
                continue
            target = self._workload.tree / Path(result).parent
            extract(read_chunks(chunks), target, what=f"{ML_ROOT}/{result}")

    def remove(self) -> None:
        try:
            self._container.remove(force=True, v=True)
        except NotFound:
            return

    def _watch(self) -> None:
        try:
            self._exit_code = int(self._container.wait()["StatusCode"])
        except (NotFound, APIError, requests.RequestException):
            # Removed while it ran, or the engine went away: killed, as far as the job is concerned.
            self._exit_code = 137
        self._exited.set()

    def _forward(self, log: Callable[[str], None]) -> None:
        rest = b""
        for chunk in self._container.logs(stream=True, follow=True):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                log(line.decode(errors="replace"))
        if rest:
            log(rest.decode(errors="replace"))


def _cannot_start(workload: Workload, error: APIError) -> ClientFaultError:
    return ClientFaultError(
        f"CannotStartContainerError. Please ensure the container starts correctly when invoked with "
        f"'docker run {workload.image.uri} {' '.join(workload.arguments)}': {error.explanation}"
    )
