"""The bill of materials of an image, as CycloneDX: the lock's Python packages and the base's Debian packages.

Flow 1 (merge to main): beside the image, in build/sbom. The same image has the same bill.
"""

from __future__ import annotations

import json
import re
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.markers import default_environment
from packaging.requirements import Requirement

from pipeline.oci import BlobStore, OciImage

_DPKG_STATUS = "var/lib/dpkg/status"
_OS_RELEASE = "usr/lib/os-release"
# Where the environment of the lock's packages says which Python it was made with.
_ENVIRONMENT = "opt/venv/pyvenv.cfg"
_SYSTEM_FILES = {_DPKG_STATUS, _OS_RELEASE, _ENVIRONMENT}
_PYTHON = re.compile(r"^version = ((\d+\.\d+)\.\d+)$", re.MULTILINE)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def describe_image(store: BlobStore, image: OciImage, *, lock: Path, name: str, created: str) -> Bom:
    """`name` is the image's with its tag. An image without an operating system has no Debian packages."""
    digest = image.manifest.digest
    files = _read_system_files(store, image)
    config = json.loads(store.check(image.config).read_bytes())
    markers = read_markers(files, architecture=config["architecture"])
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"oci:{digest}"),
        components=[*list_python_packages(lock, markers), *list_debian_packages(files)],
    )
    bom.metadata.timestamp = datetime.fromisoformat(created)
    bom.metadata.component = _component(
        PackageURL("oci", None, name.partition(":")[0], digest), type_=ComponentType.CONTAINER
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def write_sbom(file: Path, bom: Bom) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")


def read_markers(files: Mapping[str, str], *, architecture: str) -> dict[str, str]:
    """What the image's Python answers to the markers of a lock; this one, where the image brings none."""
    found = _PYTHON.search(files.get(_ENVIRONMENT, ""))
    if found is None:
        return {name: str(value) for name, value in default_environment().items()}
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": _MACHINES.get(architecture, architecture),
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": found[1],
        "python_version": found[2],
        "sys_platform": "linux",
    }


def list_python_packages(lock: Path, markers: Mapping[str, str]) -> Iterator[Component]:
    """Every package that the lock installs where its markers are answered so."""
    for line in lock.read_text().splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate(dict(markers)):
                version = str(requirement.specifier).removeprefix("==")
                name = re.sub(r"[-_.]+", "-", requirement.name).lower()
                yield _component(PackageURL("pypi", None, name, version))


def list_debian_packages(files: Mapping[str, str]) -> Iterator[Component]:
    """Every package that dpkg knows as installed."""
    if _DPKG_STATUS not in files:
        return
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)', files.get(_OS_RELEASE, ""), re.MULTILINE))
    distribution = f"{system.get('ID', 'debian')}-{system.get('VERSION_ID', '')}".rstrip("-")
    for paragraph in files[_DPKG_STATUS].strip().split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"].endswith(" installed"):
            qualifiers = {"arch": fields["Architecture"], "distro": distribution}
            yield _component(
                PackageURL(
                    "deb", system.get("ID", "debian"), fields["Package"], fields["Version"], qualifiers
                )
            )


def _read_system_files(store: BlobStore, image: OciImage) -> dict[str, str]:
    """What an image says of itself, each file from the first layer that has it."""
    found: dict[str, str] = {}
    for layer in image.layers:
        with tarfile.open(store.path(layer.digest), mode="r|gz") as tar:
            for entry in tar:
                if entry.name in _SYSTEM_FILES and (content := tar.extractfile(entry)):
                    found[entry.name] = content.read().decode()
                if found.keys() == _SYSTEM_FILES:
                    return found
    return found


def _component(purl: PackageURL, *, type_: ComponentType = ComponentType.LIBRARY) -> Component:
    return Component(name=purl.name, version=purl.version, type=type_, purl=purl, bom_ref=purl.to_string())
