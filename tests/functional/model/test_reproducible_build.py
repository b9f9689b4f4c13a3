"""`mlops build` with an engine: the same image everywhere, nothing of the machine in it, a true bill."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from model_programs import ROOT

from pipeline.image import BuildOptions, BuiltImage, build_image, open_store
from pipeline.oci import load_image
from pipeline.settings import TARGETS, Settings, Target

pytestmark = pytest.mark.engine

BASE_IMAGE = os.environ.get("MLOPS_BASE_IMAGE", "local/python:3.11-bookworm")
MARKER = "planted-marker-7f3a"
INSTALLED = """
import importlib.metadata, re, subprocess
for found in importlib.metadata.distributions():
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    print(f"pkg:pypi/{name}@{found.version}")
shown = "${db:Status-Status} pkg:deb/debian/${Package}@${Version}\\n"
asked = ["dpkg-query", "--show", "--showformat", shown]
for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines():
    status, purl = line.split()
    if status == "installed":
        print(purl)
"""


@dataclass(frozen=True)
class Built:
    image: BuiltImage
    settings: Settings


def build(
    engine: docker.DockerClient,
    checkout: Path,
    folder: Path,
    target: Target,
    *,
    commit: str = "0123abc",
    no_cache: bool = False,
) -> Built:
    settings = Settings(checkout, folder, "reproducible", "us-east-1", ("iris",))
    options = BuildOptions(
        commit=commit, created="2026-01-02T03:04:05Z", base_image=BASE_IMAGE, no_cache=no_cache
    )
    image = build_image(settings, "iris", target, engine=engine, options=options, report=lambda _line: None)
    return Built(image, settings)


@pytest.fixture(scope="module")
def engine() -> docker.DockerClient:
    client = docker.from_env()
    if not client.images.list(BASE_IMAGE):
        subprocess.run([ROOT / ".ci" / "base_image.sh"], check=True, cwd=ROOT)
    return client


@pytest.fixture(scope="module")
def built(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> dict[Target, Built]:
    folder = tmp_path_factory.mktemp("here")
    return {target: build(engine, ROOT, folder, target) for target in TARGETS}


def copy_checkout(target: Path) -> Path:
    """The checkout as another person's machine may hold it: other times, other modes, and their secrets."""
    for name in ("container", "model_src", "requirements", "scripts", "build/wheelhouse"):
        shutil.copytree(ROOT / name, target / name, copy_function=shutil.copy)
    shutil.copy(ROOT / ".dockerignore", target)
    for path in target.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(path.stat().st_mode & 0o700)
    for name in (".env", "container/.netrc", "build/credentials", "requirements/pip.conf"):
        (target / name).write_text(MARKER)
    return target


def test_another_checkout_built_without_a_cache_gives_the_same_images_and_nothing_of_its_machine(
    engine: docker.DockerClient, built: dict[Target, Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_REGISTRY_PASSWORD", MARKER)
    checkout, folder = copy_checkout(tmp_path / "elsewhere"), tmp_path / "build"

    # The build of the training image makes every stage anew; that of the serving image takes some of them.
    again = {
        target: build(engine, checkout, folder, target, no_cache=target == "training") for target in TARGETS
    }

    for target, built_again in again.items():
        made, made_again = built[target].image, built_again.image
        assert (made_again.digest, made_again.image_id) == (made.digest, made.image_id), target
        store = open_store(built_again.settings)
        for blob in load_image(store, made_again.digest).blobs:
            content = store.check(blob).read_bytes()
            assert MARKER.encode() not in (
                gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            )


@pytest.mark.parametrize("target", TARGETS)
def test_the_bill_of_materials_says_what_is_installed(
    engine: docker.DockerClient, built: dict[Target, Built], target: Target
) -> None:
    bill = json.loads((built[target].settings.build / "sbom" / f"iris-{target}.cdx.json").read_text())
    name = f"reproducible-iris:{built[target].image.tag}"

    output = engine.containers.run(name, ["python3", "-c", INSTALLED], remove=True, network_mode="none")

    listed = {component["purl"].partition("?")[0].replace("%2B", "+") for component in bill["components"]}
    listed = {purl.replace("%7E", "~").replace("%3A", ":") for purl in listed}
    assert listed == set(output.decode().split())


def test_an_earlier_build_is_taken_from_the_engine(
    engine: docker.DockerClient, built: dict[Target, Built]
) -> None:
    """The last test of this module: the build that goes is the module's."""
    first = built["serving"]
    name = f"reproducible-iris:{first.image.tag}"
    assert engine.images.list(name)

    second = build(engine, ROOT, first.settings.build, "serving", commit="4567def")

    assert engine.images.list(f"reproducible-iris:{second.image.tag}")
    assert not engine.images.list(name)
