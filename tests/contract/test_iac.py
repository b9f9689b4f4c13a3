"""The Terraform code is formatted and valid and passes its own tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IAC = ROOT / "iac"
ROOTS = ("bootstrap", "core", "environment")
MODULES = sorted(folder.name for folder in (IAC / "modules").iterdir())
FOLDERS = [*ROOTS, *(f"modules/{name}" for name in MODULES)]
TESTED = [folder for folder in FOLDERS if (IAC / folder / "tests").is_dir()]
TIMEOUT_S = 300


@pytest.mark.parametrize("name", ROOTS)
def test_the_provider_is_locked_for_every_platform(name: str) -> None:
    lock = (IAC / name / ".terraform.lock.hcl").read_text()

    assert 'version     = "5.100.0"' in lock
    assert len(re.findall(r'"zh:[0-9a-f]{64}"', lock)) == 15
    assert '"h1:edXOJWE4ORX8Fm+dpVpICzMZJat4AX0VRCAy/xkcOc0="' in lock


class Terraform:
    """The Terraform of the set-up, working on a copy of the code."""

    def __init__(self, folder: Path):
        self._iac = folder / "iac"
        self._data = folder / "data"
        shutil.copytree(IAC, self._iac, ignore=shutil.ignore_patterns(".terraform", "*_override.tf"))
        (folder / "model_src").symlink_to(ROOT / "model_src")
        setup = ROOT / ".tools" / "setup.json"
        found = json.loads(setup.read_text()) if setup.exists() else {}
        self._program = found.get("terraform") or "terraform"
        self._configuration = found.get("terraform_rc")

    def run(self, folder: str, *arguments: str, workspace: str | None = None) -> str:
        """What the command printed. Raises: AssertionError when it failed."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))
        }
        environment |= {"TF_DATA_DIR": str(self._data / folder), "CHECKPOINT_DISABLE": "1"}
        configuration = self._configuration or os.environ.get("TF_CLI_CONFIG_FILE")
        if configuration:
            environment["TF_CLI_CONFIG_FILE"] = configuration
        if workspace:
            environment["TF_WORKSPACE"] = workspace
        done = subprocess.run(
            [self._program, *arguments, "-no-color"],
            cwd=self._iac / folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def init(self, folder: str) -> None:
        readonly = ("-lockfile=readonly",) if folder in ROOTS else ()
        self.run(folder, "init", "-backend=false", *readonly)


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    return Terraform(tmp_path_factory.mktemp("iac"))


@pytest.mark.terraform
def test_the_code_is_formatted(terraform: Terraform) -> None:
    assert terraform.run(".", "fmt", "-check", "-recursive") == ""


@pytest.mark.terraform
@pytest.mark.parametrize("name", ROOTS)
def test_the_roots_are_valid(terraform: Terraform, name: str) -> None:
    terraform.init(name)

    assert "Success" in terraform.run(name, "validate")


@pytest.mark.terraform
@pytest.mark.parametrize("folder", TESTED)
def test_terraforms_own_tests_pass(terraform: Terraform, folder: str) -> None:
    terraform.init(folder)

    answer = terraform.run(folder, "test", workspace="staging" if folder == "environment" else None)

    assert ", 0 failed." in answer


@pytest.mark.terraform
def test_a_test_goes_red_when_its_guard_is_taken_out(tmp_path: Path) -> None:
    mutated = Terraform(tmp_path)
    trigger = tmp_path / "iac" / "modules" / "trigger" / "rules.tf"
    trigger.write_text(trigger.read_text().replace('"CompleteMultipartUpload", ', ""))
    mutated.init("modules/trigger")

    with pytest.raises(AssertionError, match="A pattern with PutObject alone misses"):
        mutated.run("modules/trigger", "test")
