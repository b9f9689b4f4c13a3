"""A checkout of the size that the command line needs, and a Terraform that does what a test tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_terraform import FakeTerraform

from pipeline.settings import TARGETS, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model = tmp_path / "model_src" / "models" / "iris"
    model.mkdir(parents=True)
    (model / "model.yaml").write_text("name: iris\n")
    (tmp_path / "model_src" / "__init__.py").write_text("")
    container = tmp_path / "container"
    container.mkdir()
    for name in ("train", "serve", "evaluate"):
        (container / name).write_text("#!/usr/bin/env python3\n")
        (container / name).chmod(0o755)
    locks = tmp_path / "requirements"
    locks.mkdir()
    for target in TARGETS:
        (locks / f"{target}.txt").write_text("numpy==2.4.6 \\\n    --hash=sha256:00\n")
    return Settings(tmp_path, tmp_path / "build", "mlops", "us-east-1", ("iris",))


@pytest.fixture
def fake_terraform(tmp_path: Path) -> FakeTerraform:
    return FakeTerraform(tmp_path / "fake-terraform")
