"""An image made without a container engine: one layer with the programs, the same digest from the same files.

It has no operating system. Whoever runs it sees the label and starts its programs as plain processes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import BuildError
from pipeline.registry import MANIFEST_TYPE
from pipeline.settings import Target

PROCESS_LABEL = {"org.mlops.runtime": "process"}
_PROGRAMS = "opt/program"
_ENTRY_POINTS: Mapping[Target, tuple[str, ...]] = {
    "training": ("train", "evaluate", "serve"),
    "serving": ("evaluate", "serve"),
}
_ENVIRONMENT = ["PATH=/opt/program:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH=/opt/program"]


@dataclass(frozen=True)
class Blob:
    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True)
class OciImage:
    manifest: Blob
    config: Blob
    layer: Blob


def make_image(files: Mapping[str, Path], *, labels: Mapping[str, str]) -> OciImage:
    """The image with these files, by their path inside it."""
    layer_tar = make_layer(files)
    layer = Blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(layer_tar, mtime=0))
    config = Blob(
        "application/vnd.oci.image.config.v1+json",
        _canonical(
            {
                # A platform is required; the programs are Python sources and run on any.
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": _ENVIRONMENT, "Labels": {**PROCESS_LABEL, **labels}},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [f"sha256:{hashlib.sha256(layer_tar).hexdigest()}"],
                },
            }
        ),
    )
    manifest = Blob(
        MANIFEST_TYPE,
        _canonical(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": config.descriptor,
                "layers": [layer.descriptor],
            }
        ),
    )
    return OciImage(manifest=manifest, config=config, layer=layer)


def make_layer(files: Mapping[str, Path]) -> bytes:
    """An uncompressed tar whose bytes depend on nothing but names, contents and the executable bit."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content = files[name].read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if files[name].stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def save_layout(image: OciImage, folder: Path) -> None:
    """Keeps the image, so that what is pushed later is what was built now.

    Source: the OCI Image Layout Specification.
    """
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in (image.manifest, image.config, image.layer):
        (blobs / blob.digest.removeprefix("sha256:")).write_bytes(blob.content)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "manifests": [image.manifest.descriptor]}
    (folder / "index.json").write_bytes(_canonical(index))


def load_layout(folder: Path) -> OciImage:
    """The image that was kept. Raises: BuildError when it is not there, or not as it was."""
    try:
        index = json.loads((folder / "index.json").read_bytes())
        manifest = _load_blob(folder, index["manifests"][0])
        parts = json.loads(manifest.content)
        return OciImage(
            manifest=manifest,
            config=_load_blob(folder, parts["config"]),
            layer=_load_blob(folder, parts["layers"][0]),
        )
    except FileNotFoundError as error:
        raise BuildError(f"There is no built image in {folder}. Run `mlops build` first.") from error


def _load_blob(folder: Path, descriptor: Mapping[str, str]) -> Blob:
    digest = descriptor["digest"]
    blob = Blob(
        descriptor["mediaType"],
        (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes(),
    )
    if blob.digest != digest:
        raise BuildError(f"The image in {folder} was changed after it was built. Run `mlops build` again.")
    return blob


def list_program_files(checkout: Path, model_folder: Path, *, target: Target) -> dict[str, Path]:
    """What stands under /opt/program in the image: the entry points, the package, the chosen model."""
    files = {f"{_PROGRAMS}/{name}": checkout / "container" / name for name in _ENTRY_POINTS[target]}
    for file in sorted((checkout / "model_src").iterdir()):
        if file.suffix in {".py", ".json"}:
            files[f"{_PROGRAMS}/model_src/{file.name}"] = file
    for file in sorted(model_folder.rglob("*")):
        if file.is_file():
            files[f"{_PROGRAMS}/model/{file.relative_to(model_folder).as_posix()}"] = file
    return files


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
