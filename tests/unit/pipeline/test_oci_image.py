from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from pipeline.bundle import bundle_files, list_program_files
from pipeline.errors import BuildError
from pipeline.oci import BlobStore, OciImage, load_image, save_index
from pipeline.settings import Settings, Target

CREATED = "2026-01-02T03:04:05Z"


def bundle(store: BlobStore, settings: Settings, target: Target = "training") -> OciImage:
    files = list_program_files(settings.checkout, settings.model_folder("iris"), target=target)
    reordered = dict(reversed(files.items()))
    return bundle_files(store, reordered, labels={"org.mlops.model": "iris"}, created=CREATED)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "oci")


@pytest.fixture
def image(store: BlobStore, settings: Settings) -> OciImage:
    return bundle(store, settings)


def test_the_same_files_give_the_same_digest_at_any_time_and_in_any_folder(
    settings: Settings, image: OciImage, tmp_path: Path
) -> None:
    for file in settings.checkout.rglob("*"):
        os.utime(file, (1, 1))

    assert bundle(BlobStore(tmp_path / "elsewhere"), settings) == image


def test_another_model_yaml_gives_another_digest(
    store: BlobStore, settings: Settings, image: OciImage
) -> None:
    (settings.model_folder("iris") / "model.yaml").write_text("name: other\n")

    assert bundle(store, settings).manifest.digest != image.manifest.digest


def test_the_layer_holds_programs_package_and_model_and_no_other_model(
    store: BlobStore, settings: Settings
) -> None:
    other = settings.model_folder("other")
    other.mkdir()
    (other / "model.yaml").write_text("name: other\n")
    image = bundle(store, settings)

    with tarfile.open(store.path(image.layers[0].digest)) as layer:
        modes = {entry.name: entry.mode for entry in layer}

    assert modes == {
        "opt/program/evaluate": 0o755,
        "opt/program/model/model.yaml": 0o644,
        "opt/program/model_src/__init__.py": 0o644,
        "opt/program/serve": 0o755,
        "opt/program/train": 0o755,
    }


def test_what_trains_is_not_in_the_serving_image(settings: Settings) -> None:
    files = list_program_files(settings.checkout, settings.model_folder("iris"), target="serving")

    assert "opt/program/serve" in files
    assert "opt/program/train" not in files


def test_the_image_says_that_it_runs_as_a_process(store: BlobStore, image: OciImage) -> None:
    config = json.loads(store.check(image.config).read_bytes())

    assert config["config"]["Labels"] == {"org.mlops.runtime": "process", "org.mlops.model": "iris"}
    assert config["created"] == CREATED


def test_the_manifest_is_of_the_kind_that_sagemaker_takes(store: BlobStore, image: OciImage) -> None:
    manifest = json.loads(store.check(image.manifest).read_bytes())

    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    assert manifest["layers"][0]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"


def test_a_kept_image_is_the_one_that_was_built(store: BlobStore, image: OciImage) -> None:
    assert load_image(store, image.manifest.digest) == image


def test_a_kept_layer_that_was_changed_is_refused(store: BlobStore, image: OciImage) -> None:
    store.path(image.layers[0].digest).write_bytes(b"something else")

    with pytest.raises(BuildError, match="was changed after it was built"):
        store.check(image.layers[0])


def test_a_blob_that_was_removed_is_named(store: BlobStore, image: OciImage) -> None:
    store.path(image.layers[0].digest).unlink()

    with pytest.raises(BuildError, match=rf"lacks {image.layers[0].digest}: .*Run `mlops build` again"):
        store.check(image.layers[0])
    with pytest.raises(BuildError, match=f"lacks sha256:{'0' * 64}"):
        load_image(store, f"sha256:{'0' * 64}")


def test_the_blobs_of_earlier_images_are_dropped(
    store: BlobStore, settings: Settings, image: OciImage
) -> None:
    other = bundle(store, settings, "serving")

    save_index(store, {"iris-serving": other})

    index = json.loads((store.folder / "index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [other.manifest.digest]
    assert not store.path(image.manifest.digest).exists()
    assert store.check(other.layers[0])
