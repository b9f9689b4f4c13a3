from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import BuildError
from pipeline.oci import OciImage, list_program_files, load_layout, make_image, make_layer, save_layout
from pipeline.settings import Settings


@pytest.fixture
def image(settings: Settings) -> OciImage:
    files = list_program_files(settings.checkout, settings.model_folder("iris"), target="training")
    return make_image(files, labels={"org.mlops.model": "iris"})


def test_the_same_files_give_the_same_digest_at_any_time(settings: Settings, image: OciImage) -> None:
    for file in settings.checkout.rglob("*"):
        os.utime(file, (1, 1))
    files = list_program_files(settings.checkout, settings.model_folder("iris"), target="training")
    again = make_image(dict(reversed(files.items())), labels={"org.mlops.model": "iris"})

    assert again.manifest.digest == image.manifest.digest


def test_another_model_yaml_gives_another_digest(settings: Settings, image: OciImage) -> None:
    (settings.model_folder("iris") / "model.yaml").write_text("name: other\n")
    files = list_program_files(settings.checkout, settings.model_folder("iris"), target="training")

    assert make_image(files, labels={"org.mlops.model": "iris"}).manifest.digest != image.manifest.digest


def test_the_layer_holds_programs_package_and_model_and_no_other_model(settings: Settings) -> None:
    other = settings.model_folder("other")
    other.mkdir()
    (other / "model.yaml").write_text("name: other\n")
    files = list_program_files(settings.checkout, settings.model_folder("iris"), target="training")

    with tarfile.open(fileobj=io.BytesIO(make_layer(files))) as layer:
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


def test_the_image_says_that_it_runs_as_a_process(image: OciImage) -> None:
    config = json.loads(image.config.content)

    assert config["config"]["Labels"] == {"org.mlops.runtime": "process", "org.mlops.model": "iris"}
    assert json.loads(image.manifest.content)["config"]["digest"] == image.config.digest


def test_a_kept_image_is_the_one_that_was_built(image: OciImage, tmp_path: Path) -> None:
    save_layout(image, tmp_path / "iris.oci")

    assert load_layout(tmp_path / "iris.oci") == image


def test_a_kept_image_that_was_changed_is_refused(image: OciImage, tmp_path: Path) -> None:
    save_layout(image, tmp_path / "iris.oci")
    blob = tmp_path / "iris.oci" / "blobs" / "sha256" / image.layer.digest.removeprefix("sha256:")
    blob.write_bytes(b"something else")

    with pytest.raises(BuildError, match="was changed after it was built"):
        load_layout(tmp_path / "iris.oci")


def test_an_image_that_was_never_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no built image in .*Run `mlops build` first"):
        load_layout(tmp_path / "iris.oci")
