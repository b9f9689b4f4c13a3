"""Images as files: blobs by their digest in one folder, and for each image the manifest that names them.

Flow 1 (merge to main): what was built is kept here, so that what is pushed is what was built.
Source: the OCI Image Layout Specification. The media types are Docker's, because SageMaker refuses OCI's.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.errors import BuildError
from pipeline.registry import MANIFEST_TYPE

CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Blob:
    media_type: str
    digest: str
    size_bytes: int

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


@dataclass(frozen=True)
class Layer:
    """`diff_id` is the digest of the tar before it was compressed."""

    blob: Blob
    diff_id: str


@dataclass(frozen=True)
class OciImage:
    """`config.digest` is the image's id in an engine."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (*self.layers, self.config, self.manifest)


class BlobStore:
    """The blobs of one folder. A blob is there whole, or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"

    def path(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    def check(self, blob: Blob) -> Path:
        """The blob's file. Raises: BuildError when it is not there, or not as it was."""
        path = self.path(blob.digest)
        if not path.is_file():
            raise BuildError(
                f"The built image in {self.folder} lacks {blob.digest}: it was removed after the build. "
                "Run `mlops build` again."
            )
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if f"sha256:{found}" != blob.digest:
            # Gone, so that the next build makes it anew.
            path.unlink()
            raise BuildError(
                f"The image in {self.folder} was changed after it was built. Run `mlops build` again."
            )
        return path

    def add(self, content: bytes, *, media_type: str) -> Blob:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with self.writer() as file:
            file.write(content)
            file.flush()
            os.replace(file.name, self.path(digest))
        return Blob(media_type, digest, len(content))

    @contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """A file that is to be moved to its digest's path; it is removed if it was not."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._blobs, prefix=".", delete=False) as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)

    def keep_only(self, digests: set[str]) -> None:
        wanted = {self.path(digest) for digest in digests}
        for path in self._blobs.iterdir():
            if path not in wanted:
                path.unlink()


def make_image(
    store: BlobStore, layers: Sequence[Layer], *, config: Mapping[str, Any], created: str
) -> OciImage:
    """The image of these layers: the same content and time of creation give the same digest.

    `config` holds the platform (`architecture`, `os`) and, under `config`, what the image runs with.
    """
    content = {
        **config,
        "created": created,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": created, "created_by": "mlops build"} for _ in layers],
    }
    config_blob = store.add(_canonical(content), media_type=CONFIG_TYPE)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config_blob.descriptor,
        "layers": [layer.blob.descriptor for layer in layers],
    }
    manifest_blob = store.add(_canonical(manifest), media_type=MANIFEST_TYPE)
    return OciImage(manifest_blob, config_blob, tuple(layer.blob for layer in layers))


def load_image(store: BlobStore, digest: str) -> OciImage:
    """The kept image with this manifest. Raises: BuildError when it is not there, or not as it was."""
    path = store.path(digest)
    manifest = Blob(MANIFEST_TYPE, digest, path.stat().st_size if path.is_file() else 0)
    parts = json.loads(store.check(manifest).read_bytes())
    config, *layers = (
        Blob(part["mediaType"], part["digest"], part["size"]) for part in [parts["config"], *parts["layers"]]
    )
    return OciImage(manifest, config, tuple(layers))


def save_index(store: BlobStore, images: Mapping[str, OciImage]) -> None:
    """Names the kept images in the layout's index, and drops every other blob."""
    entries = [
        {**image.manifest.descriptor, "annotations": {_NAME: name}} for name, image in sorted(images.items())
    ]
    (store.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (store.folder / "index.json").write_bytes(_canonical({"schemaVersion": 2, "manifests": entries}))
    store.keep_only({blob.digest for image in images.values() for blob in image.blobs})


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
