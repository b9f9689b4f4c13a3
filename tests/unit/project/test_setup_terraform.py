"""Set-up finds a Terraform that is new enough, or fetches the pinned one, or says what to do."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

import pytest
from checkout import ROOT, file_server, make_checkout, run_setup, write_terraform

sys.path.insert(0, str(ROOT / "scripts"))

from machine.terraform import release_platform

VERSION = "1.11.4"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path)


def publish_terraform(checkout: Path, *, checksum: str = "") -> Path:
    """A folder laid out as the release server, and its checksum in the checkout's table."""
    name = f"terraform_{VERSION}_{release_platform()}.zip"
    archive = checkout / "releases" / VERSION / name
    archive.parent.mkdir(parents=True)
    program = write_terraform(checkout / "program/terraform", VERSION)
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(program, "terraform")
    digest = checksum or hashlib.sha256(archive.read_bytes()).hexdigest()
    (checkout / "scripts/terraform.sha256").write_text(f"{digest}  {name}\n")
    return checkout / "releases"


def test_terraform_on_path_is_used_when_it_is_new_enough(checkout: Path) -> None:
    write_terraform(checkout / "bin/terraform", "1.11.0")

    done = run_setup(checkout, "terraform")

    assert done.returncode == 0
    assert str(checkout / "bin/terraform") in done.stdout
    assert not (checkout / ".tools/bin").exists()


@pytest.mark.parametrize("version", ["1.10.9", "0.12.31"])
def test_an_old_terraform_is_replaced_by_the_pinned_release(checkout: Path, version: str) -> None:
    write_terraform(checkout / "bin/terraform", version)
    releases = publish_terraform(checkout)

    with file_server(releases) as address:
        done = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR=address)

    assert done.returncode == 0, done.stderr
    assert f"is {version}" in done.stdout
    assert str(checkout / ".tools/bin/terraform") in done.stdout


def test_a_fetched_terraform_is_fetched_once(checkout: Path) -> None:
    releases = publish_terraform(checkout)
    with file_server(releases) as address:
        first = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR=address)

    second = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR=address)

    assert (first.returncode, second.returncode) == (0, 0)
    assert "fetching" in first.stdout
    assert "fetching" not in second.stdout


def test_an_archive_with_another_checksum_is_thrown_away(checkout: Path) -> None:
    releases = publish_terraform(checkout, checksum="0" * 64)

    with file_server(releases) as address:
        done = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR=address)

    assert done.returncode == 3
    assert "It was thrown away" in done.stderr
    assert "0" * 64 in done.stderr
    assert list((checkout / ".tools").rglob("*")) == []


def test_an_unreachable_release_server_says_what_to_do(checkout: Path) -> None:
    done = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR="http://127.0.0.1:9")

    assert done.returncode == 3
    assert "none is on PATH" in done.stderr
    assert "could not be fetched" in done.stderr
    assert "install Terraform 1.11 or newer" in done.stderr
    assert "MLOPS_TERRAFORM_MIRROR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_the_server_does_not_have_says_so(checkout: Path) -> None:
    (checkout / "releases").mkdir()

    with file_server(checkout / "releases") as address:
        done = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR=address)

    assert done.returncode == 3
    assert "404" in done.stderr


def test_a_machine_without_a_published_checksum_gets_nothing(checkout: Path) -> None:
    (checkout / "scripts/terraform.sha256").write_text("")

    done = run_setup(checkout, "terraform", MLOPS_TERRAFORM_MIRROR="http://127.0.0.1:9")

    assert done.returncode == 3
    assert "holds no checksum" in done.stderr


def test_a_terraform_that_does_not_run_is_not_taken(checkout: Path) -> None:
    write_terraform(checkout / "bin/terraform", "1.11.4").write_text("not a program")

    done = run_setup(checkout, "--check", "--json")

    assert done.returncode == 3
    assert json.loads(done.stdout)["terraform"]["ok"] is False


def test_the_checksum_table_covers_linux_and_mac() -> None:
    lines = (ROOT / "scripts/terraform.sha256").read_text().splitlines()

    machines = {re.fullmatch(r"[0-9a-f]{64}  terraform_1\.11\.4_(\w+)\.zip", line)[1] for line in lines}  # type: ignore[index]

    assert machines == {"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"}
