"""A model server of one variant: its artefact, its program, its health, its answers."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from localaws.runtime.archives import extract
from localaws.runtime.errors import ClientFaultError, JobError
from localaws.runtime.images import Image
from localaws.runtime.platform import Platform
from localaws.runtime.workload import Running, Workload
from localaws.sagemaker import transfer
from localaws.sagemaker.logs import LogStream
from localaws.sagemaker.roles import ExecutionRole
from localaws.schema import Members

DEFAULT_HEALTH_TIMEOUT_S = 480.0
PING_TIMEOUT_S = 2.0
PING_INTERVAL_S = 0.05
INVOKE_TIMEOUT_S = 60.0
STOP_GRACE_S = 30.0
POOLED_CONNECTIONS = 64


class HealthError(JobError):
    """The container did not get healthy."""


class CancelledError(JobError):
    """Whoever started the server wants it no more."""


@dataclass(frozen=True)
class Reply:
    """What a container answered. Status 0 means that it did not."""

    status: int
    headers: dict[str, str]
    body: bytes
    latency_s: float


class ModelServer:
    """A running `serve` program, one per variant whatever its instance count."""

    def __init__(self, platform: Platform, image: Image, tree: Path, running: Running, log: LogStream):
        self.image = image
        self.resolved_at = time.time()
        self.log_stream = log
        self._platform = platform
        self._tree = tree
        self._running = running
        host, _, port = running.address.partition(":")
        self._pool = urllib3.HTTPConnectionPool(
            host, int(port), maxsize=POOLED_CONNECTIONS, block=False, retries=False
        )

    def invoke(self, body: bytes, headers: dict[str, str], *, timeout_s: float = INVOKE_TIMEOUT_S) -> Reply:
        """The container's answer to one request."""
        started = time.perf_counter()
        try:
            response = self._pool.urlopen(
                "POST", "/invocations", body=body, headers=headers, timeout=timeout_s
            )
        except urllib3.exceptions.HTTPError as error:
            return Reply(0, {}, str(error).encode(), time.perf_counter() - started)
        latency_s = time.perf_counter() - started
        return Reply(response.status, dict(response.headers), response.data, latency_s)

    def wait_until_healthy(self, owner: str, *, timeout_s: float, cancelled: threading.Event) -> None:
        """Raises: HealthError when the program ends, or does not answer `/ping` with 200 in time."""
        deadline = time.monotonic() + timeout_s
        while not cancelled.is_set():
            code = self._running.wait(0)
            if code is not None:
                raise HealthError(
                    f"The primary container for {owner} ended with exit code {code} before it "
                    "was healthy. Please check its CloudWatch logs."
                )
            if self._ping():
                return
            if time.monotonic() > deadline:
                raise HealthError(
                    f"The primary container for {owner} did not pass the ping health check. "
                    "Please check its CloudWatch logs."
                )
            cancelled.wait(PING_INTERVAL_S)
        raise CancelledError("Stopped before it was healthy.")

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """Ends the program: SIGTERM, SIGKILL after the grace."""
        self._running.stop(grace_s)
        self._running.remove()
        self.log_stream.close()
        self._pool.close()
        self._platform.remove_tree(self._tree)

    def _ping(self) -> bool:
        try:
            return self._pool.urlopen("GET", "/ping", timeout=PING_TIMEOUT_S).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def start_server(
    platform: Platform, container: Members, *, name: str, role: ExecutionRole, log_group: str, log_stream: str
) -> ModelServer:
    """A started server, not yet healthy. Raises: JobError with the reason."""
    image = platform.images.find(
        container["Image"], ecr=role.client("ecr"), scope=role.scope, role_arn=role.arn
    )
    tree = platform.new_tree()
    log = LogStream(role.client("logs"), log_group, log_stream)
    try:
        fetch_model(role.client("s3"), container, tree)
        workload = Workload(
            name=name,
            image=image,
            tree=tree,
            arguments=("serve",),
            environment=environment(role, container),
            serves=True,
        )
        running = platform.start(workload, log.write)
    except BaseException:
        log.close()
        platform.remove_tree(tree)
        raise
    return ModelServer(platform, image, tree, running, log)


def instance_id() -> str:
    """A made instance id, as the names of log streams have it."""
    return f"i-{uuid.uuid4().hex[:17]}"


def fetch_model(s3: Any, container: Members, tree: Path) -> None:
    """Puts the model's files into `model`."""
    target = tree / "model"
    target.mkdir()
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None and "ModelDataUrl" in container:
        source = {"S3Uri": container["ModelDataUrl"], "S3DataType": "S3Object", "CompressionType": "Gzip"}
    if source is None:
        return
    if source["CompressionType"] == "None":
        transfer.download_prefix(s3, source["S3Uri"], target)
        return
    archive = tree / "model.tar.gz"
    try:
        transfer.download_object(s3, source["S3Uri"], archive)
    except ClientFaultError as error:
        raise ClientFaultError(
            f"Failed to download model data for container from URL: {source['S3Uri']}. Please ensure that "
            "there is an object located at the URL and that the role passed to CreateModel has permissions "
            f"to download the object. ({error})"
        ) from error
    with archive.open("rb") as file:
        extract(file, target, what=f"Model data {source['S3Uri']}")
    archive.unlink()


def environment(role: ExecutionRole, container: Members) -> dict[str, str]:
    """The variables of the model, and those that SageMaker itself sets."""
    region = role.scope.region
    return {**container.get("Environment", {}), "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
