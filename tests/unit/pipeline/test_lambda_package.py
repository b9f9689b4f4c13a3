from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import BuildError
from pipeline.package import build_package, find_sources
from pipeline.settings import find_checkout

CHECKOUT = find_checkout(Path(__file__).parent)


@pytest.fixture
def small_checkout(tmp_path: Path) -> Path:
    lambdas = tmp_path / "pipeline" / "lambdas"
    lambdas.mkdir(parents=True)
    for name in ("__init__", "errors", "ledger", "terraform"):
        (tmp_path / "pipeline" / f"{name}.py").write_text("")
    (lambdas / "__init__.py").write_text("")
    (lambdas / "record.py").write_text("import json\nfrom pipeline import ledger\n")
    (tmp_path / "pipeline" / "ledger.py").write_text("from pipeline.errors import PipelineError\n")
    return tmp_path


def test_the_zip_holds_handlers_and_what_they_import(small_checkout: Path) -> None:
    archive = build_package(small_checkout, small_checkout / "build" / "lambda.zip")

    assert zipfile.ZipFile(archive).namelist() == [
        "pipeline/__init__.py",
        "pipeline/errors.py",
        "pipeline/lambdas/__init__.py",
        "pipeline/lambdas/record.py",
        "pipeline/ledger.py",
    ]


def test_the_same_sources_give_the_same_bytes(small_checkout: Path) -> None:
    first = build_package(small_checkout, small_checkout / "a.zip").read_bytes()
    for file in small_checkout.rglob("*.py"):
        os.utime(file, (1, 1))
        file.chmod(0o700)

    second = build_package(small_checkout, small_checkout / "b.zip").read_bytes()

    assert hashlib.sha256(second).hexdigest() == hashlib.sha256(first).hexdigest()


def test_a_checkout_without_handlers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no Lambda handlers"):
        build_package(tmp_path, tmp_path / "lambda.zip")


def test_this_projects_own_package_takes_nothing_of_the_command_line() -> None:
    names = {file.relative_to(CHECKOUT).as_posix() for file in find_sources(CHECKOUT)}

    assert {"pipeline/ledger.py", "pipeline/approval.py", "pipeline/lambdas/smoke.py"} <= names
    assert not {name for name in names if "cli" in name or "terraform" in name or "image" in name}
