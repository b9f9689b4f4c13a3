"""The container engine: what it builds, what it hands over, what it is given back. Flow 1 (merge to main)."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from pipeline.errors import BuildError, SetupError
from pipeline.oci import BlobStore, OciImage

EngineChoice = Literal["auto", "docker", "none"]
Report = Callable[[str], None]

# The engine sends nothing while it unpacks a layer; the client's own time-out is for detection.
_PATIENCE_S = 1800
_FAILED_COMMAND = re.compile(r"The command .* returned a non-zero code: (\d+)", re.DOTALL)
_STEP_IMAGE = re.compile(r"---> ([0-9a-f]{12})$")


@dataclass(frozen=True)
class EngineBuild:
    """What a build leaves in the engine: the image, and the last image of every stage, as a cache."""

    image_id: str
    stage_ids: tuple[str, ...]


@dataclass(frozen=True)
class SavedImage:
    """An image as the engine exports it. `layers` are the archive's members, by the digest of their tar."""

    archive: Path
    config: Mapping[str, Any]
    layers: Mapping[str, str]

    @contextmanager
    def open_layer(self, diff_id: str) -> Iterator[IO[bytes]]:
        with tarfile.open(self.archive) as archive:
            yield _open_member(archive, self.layers[diff_id])


def find_engine(timeout_s: int = 3) -> tuple[docker.DockerClient | None, str]:
    """A client of the engine that answers and its version, or None and why not."""
    try:
        client = docker.from_env(timeout=timeout_s)
        version = client.version()
    except (DockerException, OSError) as error:
        return None, str(error)
    # Debian's engine has no name of its own, and other engines have no platform.
    name = version.get("Platform", {}).get("Name") or "Docker Engine"
    return client, f"{name} {version['Version']}"


def choose_engine(choice: EngineChoice) -> docker.DockerClient | None:
    """The engine to build with, None for none. Raises: SetupError when one is demanded and none answers."""
    if choice == "none":
        return None
    client, detail = find_engine()
    if client is None and choice == "docker":
        raise SetupError(
            f"No Docker engine answers ({detail}). Start one, or build with --engine none: "
            "the same programs then run as plain processes."
        )
    return client


def build(engine: docker.DockerClient, request: Mapping[str, Any], *, report: Report) -> EngineBuild:
    """Raises: BuildError naming the step that failed."""
    engine.api.timeout = _PATIENCE_S
    try:
        return read_build_stream(engine.api.build(**request), report=report)
    except (DockerException, OSError) as error:
        raise BuildError(f"The engine does not build: {error}") from error


def read_build_stream(stream: Iterable[Mapping[str, Any]], *, report: Report) -> EngineBuild:
    """What was built. Raises: BuildError naming the step, with the end of its output."""
    step, output, image_id, last_id = "the first step", [""], "", ""
    stage_ids: list[str] = []
    for line in stream:
        text = str(line.get("stream", "")).strip()
        if text.startswith("Step "):
            if " FROM " in text and last_id:
                stage_ids.append(last_id)
            step, output = text, []
            report(text)
        elif matched := _STEP_IMAGE.match(text):
            last_id = matched[1]
        elif text:
            output.append(text)
        if "error" in line:
            raise BuildError(f"The image build failed in {step!r}: {_read_problem(line, output)}")
        image_id = str(line.get("aux", {}).get("ID", image_id))
    if not image_id:
        raise BuildError(f"The image build ended without an image, after {step!r}.")
    return EngineBuild(image_id, tuple(stage_ids))


def _read_problem(line: Mapping[str, Any], output: list[str]) -> str:
    """The engine's error and the end of the step's output; the step itself is named already."""
    error = _FAILED_COMMAND.sub(r"exit code \1", str(line["error"]).strip())
    return " ".join([f"{error}:" if any(output) else error, *output[-3:]]).strip()


@contextmanager
def saved_image(engine: docker.DockerClient, image_id: str, *, folder: Path) -> Iterator[SavedImage]:
    """The image in a temporary file of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".tar") as file:
        try:
            for chunk in engine.api.get_image(image_id):
                file.write(chunk)
        except (DockerException, OSError) as error:
            raise BuildError(f"The engine does not export what it built: {error}") from error
        file.flush()
        yield read_saved(Path(file.name))


def read_saved(archive: Path) -> SavedImage:
    with tarfile.open(archive) as tar:
        entry = json.load(_open_member(tar, "manifest.json"))[0]
        config = json.load(_open_member(tar, entry["Config"]))
    layers = dict(zip(config["rootfs"]["diff_ids"], entry["Layers"], strict=True))
    return SavedImage(archive, config, layers)


def _open_member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.extractfile(name)
    if member is None:
        raise BuildError(f"The engine's export holds no {name}.")
    return member


def give_image(
    engine: docker.DockerClient, store: BlobStore, image: OciImage, *, name: str, folder: Path
) -> None:
    """Makes the kept image the engine's, under `name`, unless it has it."""
    try:
        engine.images.get(image.config.digest).tag(name)
    except ImageNotFound:
        with tempfile.TemporaryFile(dir=folder) as file:
            write_archive(store, image, name=name, target=file)
            file.seek(0)
            # An answer that is not read to its end is a load that may have failed.
            answers = list(engine.api.load_image(file))  # type: ignore[no-untyped-call]
        if problem := next((answer["error"] for answer in answers if "error" in answer), None):
            raise BuildError(f"The engine does not take the image {name}: {problem}") from None


def write_archive(store: BlobStore, image: OciImage, *, name: str, target: IO[bytes]) -> None:
    """The image as `docker load` takes it."""
    layers = [f"{layer.digest.removeprefix('sha256:')}.tar.gz" for layer in image.layers]
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": layers}]
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path, blob in [("config.json", image.config), *zip(layers, image.layers, strict=True)]:
            archive.add(store.check(blob), arcname=path)
        content = json.dumps(manifest).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def remove_images(engine: docker.DockerClient, names: Iterable[str]) -> list[str]:
    """Takes images or their names from the engine. Returns those that are still in use, and so stay."""
    used = []
    for name in names:
        try:
            engine.api.remove_image(name)
        except ImageNotFound:
            continue
        except APIError as error:
            if error.status_code != 409:
                raise BuildError(f"The engine does not remove the image {name}: {error}") from error
            used.append(name)
    return used
