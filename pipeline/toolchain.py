"""The tools that set-up found or fetched: which Terraform runs, and with which environment variables.

`make setup` writes .tools/setup.json; without it the machine's own tools are used.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import SetupError

# 1.11 is the first release whose S3 backend locks by itself (use_lockfile) as a stable feature.
OLDEST_TERRAFORM = (1, 11)
_ADVICE = "Run `make setup`: it fetches the pinned release into .tools/ and touches nothing else."


@dataclass(frozen=True)
class Toolchain:
    terraform: Path
    version: str
    terraform_rc: Path | None


@dataclass(frozen=True)
class SetupRecord:
    """What set-up left behind; every part may be absent.

    `may_have_base`: set-up did not run, so the Dockerfile's own base image may be had.
    """

    terraform: Path | None = None
    terraform_rc: Path | None = None
    base_image: str | None = None
    may_have_base: bool = False


def read_setup(checkout: Path) -> SetupRecord:
    file = checkout / ".tools" / "setup.json"
    values: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return SetupRecord(
        terraform=_existing(values.get("terraform")),
        terraform_rc=_existing(values.get("terraform_rc")),
        base_image=values.get("base_image"),
        may_have_base=not file.is_file(),
    )


def _existing(path: str | None) -> Path | None:
    return Path(path) if path and Path(path).is_file() else None


def find_toolchain(checkout: Path, environ: Mapping[str, str]) -> Toolchain:
    """Set-up's Terraform, else the one on PATH; refused below 1.11."""
    record = read_setup(checkout)
    found = record.terraform or shutil.which("terraform", path=environ.get("PATH"))
    if not found:
        raise SetupError(f"Terraform is missing: there is none in .tools/ and none on PATH. {_ADVICE}")
    rc = record.terraform_rc or _existing(environ.get("TF_CLI_CONFIG_FILE"))
    version = read_terraform_version(Path(found), terraform_environment(environ, terraform_rc=rc))
    if parse_version(version) < OLDEST_TERRAFORM:
        wanted = ".".join(str(part) for part in OLDEST_TERRAFORM)
        raise SetupError(f"Terraform {version} at {found} is too old, {wanted} or newer is needed. {_ADVICE}")
    return Toolchain(terraform=Path(found), version=version, terraform_rc=rc)


def read_terraform_version(binary: Path, environ: Mapping[str, str]) -> str:
    """For example 1.11.4."""
    command = [str(binary), "version", "-json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=environ)
        return str(json.loads(done.stdout)["terraform_version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise SetupError(f"{binary} does not run as Terraform: {error}. {_ADVICE}") from error


def parse_version(version: str) -> tuple[int, ...]:
    """(1, 11, 4) of `1.11.4-beta1`."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else (0,)


# Terraform and its provider collect garbage less often while they are small: a quarter less of the processor.
_GARBAGE = {"GOGC": "400", "GOMEMLIMIT": "768MiB"}


def terraform_environment(environ: Mapping[str, str], *, terraform_rc: Path | None) -> dict[str, str]:
    """The caller's environment, made fit for unattended use.

    TF_WORKSPACE is taken out because Terraform then refuses `workspace select`. TF_CLI_CONFIG_FILE is set
    only to a file that exists: one that points at nothing makes every command warn, and hides a mirror.
    """
    taken_out = {"TF_WORKSPACE", "TF_CLI_CONFIG_FILE"}
    child = _GARBAGE | {name: value for name, value in environ.items() if name not in taken_out}
    # CHECKPOINT_DISABLE: Terraform would otherwise ask its maker for news at every command.
    child |= {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    return child | ({"TF_CLI_CONFIG_FILE": str(terraform_rc)} if terraform_rc else {})
