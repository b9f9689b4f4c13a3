from __future__ import annotations

import io
import json
import tarfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from pipeline.layers import normalise_layer
from pipeline.oci import BlobStore, Layer, OciImage, make_image
from pipeline.sbom import describe_image, write_sbom

CREATED = "2026-01-02T03:04:05Z"
LOCK = """\
click==8.5.1 \\
    --hash=sha256:00
    # via granian
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:00
numpy==2.4.6 ; python_full_version >= '3.11' \\
    --hash=sha256:00
rpds_py==1.0 \\
    --hash=sha256:00
"""
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Description: GNU C Library
 Shared libraries

Package: perl-base
Status: deinstall ok config-files
Architecture: amd64
Version: 5.36.0-7
"""


def describe(folder: Path, *, lock_text: str = LOCK, python: str = "3.11.2", **image: Any) -> dict[str, Any]:
    store = BlobStore(folder / "oci")
    lock = folder / "serving.txt"
    lock.write_text(lock_text)
    bom = describe_image(
        store,
        make_system(store, python=python, **image),
        lock=lock,
        name="mlops-iris:serving-1",
        created=CREATED,
    )
    write_sbom(folder / "sbom" / "iris.cdx.json", bom)
    described: dict[str, Any] = json.loads((folder / "sbom" / "iris.cdx.json").read_text())
    return described


def make_system(
    store: BlobStore, *, python: str, system: bool = True, architecture: str = "amd64"
) -> OciImage:
    """A base layer and one with the environment that was made on it."""
    program = {"opt/program/serve": "#!"}
    base = {"usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n', "var/lib/dpkg/status": STATUS}
    environment = {"opt/venv/pyvenv.cfg": f"home = /usr/bin\nversion = {python}\n"}
    layers = [make_layer(store, files) for files in ([base, environment, program] if system else [program])]
    return make_image(store, layers, config={"architecture": architecture, "os": "linux"}, created=CREATED)


def make_layer(store: BlobStore, contents: dict[str, str]) -> Layer:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    buffer.seek(0)
    return normalise_layer(store, buffer)


def purls(described: dict[str, Any]) -> set[str]:
    return {component["purl"] for component in described["components"]}


def test_it_lists_what_lock_and_dpkg_have_installed(tmp_path: Path) -> None:
    assert purls(describe(tmp_path)) == {
        "pkg:pypi/click@8.5.1",
        "pkg:pypi/numpy@2.4.6",
        "pkg:pypi/rpds-py@1.0",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12",
    }


def test_an_image_without_an_operating_system_has_its_lock_only(tmp_path: Path) -> None:
    assert all(purl.startswith("pkg:pypi/") for purl in purls(describe(tmp_path, system=False)))


@pytest.mark.parametrize(
    ("marker", "installed"),
    [
        ("python_full_version < '3.11.4'", True),
        ("python_full_version >= '3.11.4'", False),
        ("platform_machine == 'aarch64'", True),
        ("platform_machine == 'x86_64'", False),
    ],
)
def test_markers_are_answered_by_the_images_own_python(tmp_path: Path, marker: str, installed: bool) -> None:
    lock = f"backports-tarfile==1.2 ; {marker} \\\n    --hash=sha256:00\n"

    found = purls(describe(tmp_path, lock_text=lock, python="3.11.2", architecture="arm64"))

    assert ("pkg:pypi/backports-tarfile@1.2" in found) is installed


def test_the_same_image_has_the_same_bill(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()

    assert describe(folders[0]) == describe(folders[1])


def test_it_names_the_image_by_digest(tmp_path: Path) -> None:
    component = describe(tmp_path)["metadata"]["component"]

    assert component["type"] == "container"
    assert component["name"] == "mlops-iris"
    assert component["version"].startswith("sha256:")


def read_schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (files("cyclonedx.schema") / "_res" / name).read_text()  # the library carries CycloneDX's own
    )
    return found


def test_it_keeps_to_the_schema_of_cyclonedx(tmp_path: Path) -> None:
    names = ("bom-1.6.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    schemas = [read_schema(name) for name in names]
    registry = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas
    )
    validator = Draft7Validator(schemas[0], registry=registry)
    described = describe(tmp_path)

    validator.validate(described)
    with pytest.raises(Exception, match="'librarie' is not one of"):
        validator.validate({**described, "components": [{"type": "librarie", "name": "x"}]})
