"""An image made without a container engine: one layer with the programs, and no operating system.

Whoever runs it sees the label and starts its programs as plain processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.layers import pack_files
from pipeline.oci import BlobStore, OciImage, make_image
from pipeline.settings import Target

PROCESS_LABEL = {"org.mlops.runtime": "process"}
_PROGRAMS = "opt/program"
_ENTRY_POINTS: Mapping[Target, tuple[str, ...]] = {
    "training": ("train", "evaluate", "serve"),
    "serving": ("evaluate", "serve"),
}
_ENVIRONMENT = ["PATH=/opt/program:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH=/opt/program"]


def bundle_files(
    store: BlobStore, files: Mapping[str, Path], *, labels: Mapping[str, str], created: str
) -> OciImage:
    """The image with these files, by their path inside it."""
    config = {
        # A platform is required; the programs are Python sources and run on any.
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": _ENVIRONMENT, "Labels": {**PROCESS_LABEL, **labels}},
    }
    return make_image(store, [pack_files(store, files)], config=config, created=created)


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
