"""An image as containers of a Linux engine on this machine, reached at their own addresses.

Not by published ports: there the engine's proxy accepts the connections, whatever the server does.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound, NullResource
from docker.models.containers import Container

from pipeline.conformance.client import NOWHERE, Address
from pipeline.conformance.program import ImageFacts, Launch, StartError
from pipeline.errors import SetupError, UsageError

LABEL = "org.mlops.check-image"
_ML = "opt/ml"
_POLL_S = 0.05
# The engine keeps a line in pieces of 16 KB.
_LAST_LINES = 1000
_LISTENING = "0A"
_DNS_OF_ENGINE = "127.0.0.11"


@contextmanager
def telling_engine_errors() -> Iterator[None]:
    """Raises: SetupError for an engine that fails while it is used."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise SetupError(f"The container engine failed during the examination: {error}") from error


class ContainerRuntime:
    """Runs one image. All it makes carries a label of its own and is removed by `close`."""

    name: Literal["container"] = "container"

    def __init__(self, client: docker.DockerClient, image: str):
        check_engine(client)
        self._client = client
        self.label = {LABEL: uuid.uuid4().hex}
        try:
            found = client.images.get(image)
        except ImageNotFound as error:
            raise UsageError(
                f"The engine has no image {image}. Build it or `docker pull` it first."
            ) from error
        except (APIError, NullResource) as error:
            raise UsageError(f"{image!r} is no image: {getattr(error, 'explanation', error)}.") from error
        self._image = str(found.id)
        self.facts: ImageFacts | None = _read_facts(found)

    def start(self, launch: Launch) -> ContainerProgram:
        arguments: dict[str, Any] = {"network": self._closed_network()} if launch.offline else {}
        with self._volume(launch) as volumes:
            try:
                container = self._client.containers.create(
                    self._image,
                    [launch.command],
                    environment=dict(launch.environment),
                    labels=self.label,
                    volumes=volumes,
                    detach=True,
                    **arguments,
                )
                if not volumes:
                    _put_tree(container, launch.tree, prefix=_ML)
                container.start()
            except APIError as error:
                raise StartError(f"`docker run IMAGE {launch.command}`: {error.explanation}") from error
        return ContainerProgram(container, launch.port)

    def close(self) -> None:
        wanted: Any = {"label": [f"{name}={value}" for name, value in self.label.items()]}
        for container in self._client.containers.list(all=True, filters=wanted):
            container.remove(force=True, v=True)
        for network in self._client.networks.list(filters=wanted):
            network.remove()
        for volume in self._client.volumes.list(filters=wanted):
            volume.remove()

    @contextmanager
    def _volume(self, launch: Launch) -> Iterator[dict[str, dict[str, str]]]:
        """The mounts that give the model read-only; none where it may be written to."""
        if not launch.read_only_model:
            yield {}
            return
        volume = self._client.volumes.create(labels=self.label)
        place = f"/{_ML}/model"
        filler = self._client.containers.create(
            self._image,
            [launch.command],
            labels=self.label,
            volumes={volume.name: {"bind": place, "mode": "rw"}},
        )
        _put_tree(filler, launch.tree / "model", prefix=f"{_ML}/model")
        filler.remove()
        yield {volume.name: {"bind": place, "mode": "ro"}}

    def _closed_network(self) -> str:
        """A network whose containers are reached from this machine and reach nothing."""
        found = self._client.networks.list(filters={"label": f"{LABEL}={self.label[LABEL]}"})
        if found:
            return str(found[0].name)
        name = f"check-image-{self.label[LABEL][:12]}"
        self._client.networks.create(name, driver="bridge", internal=True, labels=self.label)
        return name


class ContainerProgram:
    """A running container."""

    def __init__(self, container: Container, port: int):
        self._container = container
        self._port = port

    @property
    def address(self) -> Address:
        self._container.reload()
        networks = self._container.attrs["NetworkSettings"]["Networks"].values()
        return next((Address(n["IPAddress"], self._port) for n in networks if n["IPAddress"]), NOWHERE)

    def wait(self, timeout_s: float) -> int | None:
        deadline = time.monotonic() + timeout_s
        while True:
            self._container.reload()
            if self._container.status in ("exited", "dead"):
                return int(self._container.attrs["State"]["ExitCode"])
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_S)

    def terminate(self) -> None:
        try:
            self._container.kill("SIGTERM")
        except APIError as error:
            if error.status_code != 409:  # it has ended
                raise

    def output(self, *, max_bytes: int) -> str:
        found = b""
        for part in self._container.logs(stream=True, follow=False, tail=_LAST_LINES):
            found = (found + part)[-max_bytes:]
        return found.decode(errors="replace")

    def listeners(self) -> tuple[str, ...]:
        try:
            done: Any = self._container.exec_run(["cat", "/proc/net/tcp", "/proc/net/tcp6"])
        except APIError:
            return ()  # it has ended; what it listened on cannot be told
        return parse_listeners(done.output.decode(errors="replace")) if done.exit_code == 0 else ()

    def files(self, folder: str) -> dict[str, str]:
        return {n: hashlib.file_digest(f, "sha256").hexdigest() for n, f in self._members(folder)}

    def read(self, file: str, *, max_bytes: int) -> bytes | None:
        with closing(self._members(file)) as members:
            return next((content.read(max_bytes) for _, content in members), None)

    def remove(self) -> None:
        try:
            self._container.remove(force=True, v=True)
        except NotFound:
            return

    def _members(self, path: str) -> Generator[tuple[str, io.BufferedReader], None, None]:
        """The files at this path below /opt/ml, by their path below it; read in turn, never unpacked."""
        chunks: Any
        try:
            chunks, _ = self._container.get_archive(f"/{_ML}/{path}")
        except NotFound:
            return
        with (
            closing(chunks),
            io.BufferedReader(_Stream(chunks)) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if isinstance(content, io.BufferedReader):
                    yield member.name.partition("/")[2], content


class _Stream(io.RawIOBase):
    """A file of what comes in chunks, of which only as much is fetched as is read."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._chunks, b"")
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def check_engine(client: docker.DockerClient) -> None:
    """Raises: SetupError where containers cannot be reached at their own addresses."""
    info = client.info()
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    elsewhere = not client.api.base_url.startswith("http+docker://") or "Desktop" in info["OperatingSystem"]
    if rootless or elsewhere or sys.platform != "linux":
        raise SetupError(
            "Containers of this engine cannot be reached at their addresses: it is in a virtual machine, on "
            "another one, or rootless. Use a Docker engine of this Linux machine, or --runtime process."
        )


def parse_listeners(table: str) -> tuple[str, ...]:
    """`host:port` of the listening sockets in the text of /proc/net/tcp and tcp6."""
    found = set()
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == _LISTENING:
            host, _, port = words[1].partition(":")
            found.add(f"{_parse_host(host)}:{int(port, 16)}")
    return tuple(sorted(one for one in found if not one.startswith(_DNS_OF_ENGINE)))


def _parse_host(text: str) -> str:
    if len(text) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(text)))
    if not text.strip("0"):
        return "0.0.0.0"  # noqa: S104 - IPv6's "any" takes IPv4 too
    return "::1" if text.endswith("01000000") and not text[:-8].strip("0") else f"[{text}]"


def _put_tree(container: Container, tree: Path, *, prefix: str) -> None:
    with tempfile.TemporaryFile() as archive:
        _pack(tree, archive, prefix=prefix)
        archive.seek(0)
        container.put_archive("/", archive)


def _pack(tree: Path, file: IO[bytes], *, prefix: str) -> None:
    """Everything belongs to root and may be read by anybody, as in a container that SageMaker starts."""
    with tarfile.open(fileobj=file, mode="w") as archive:
        parts = prefix.split("/")
        for depth in range(1, len(parts) + 1):
            folder = tarfile.TarInfo("/".join(parts[:depth]))
            folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, int(time.time())
            archive.addfile(folder, io.BytesIO())
        for path in sorted(tree.iterdir()):
            archive.add(path, arcname=f"{prefix}/{path.name}", filter=_as_root)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.mode |= 0o755 if member.isdir() else 0o644
    member.uname = member.gname = ""
    return member


def _read_facts(image: Any) -> ImageFacts:
    config = image.attrs.get("Config") or {}
    lines = config.get("Env") or []
    return ImageFacts(
        os=image.attrs["Os"],
        architecture=image.attrs["Architecture"],
        size_bytes=image.attrs["Size"],
        entrypoint=tuple(config.get("Entrypoint") or ()),
        user=config.get("User") or "",
        environment=dict(line.partition("=")[::2] for line in lines),
        labels=config.get("Labels") or {},
        history=tuple(str(layer.get("CreatedBy", "")) for layer in image.history()),
    )
