"""Terraform and its AWS provider: what the machine has, or the pinned release with its checksum."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from typing import Iterator  # noqa: UP035 - this file is loaded by old Pythons, which are then told so

from machine.finding import Finding, SetupError, last_lines, printed_by, say, tools_folder

OLDEST_TERRAFORM = (1, 11)
TERRAFORM_VERSION = "1.11.4"
TERRAFORM_RELEASES = "https://releases.hashicorp.com/terraform"
TERRAFORM_BY_HAND = "https://developer.hashicorp.com/terraform/install"
PROVIDERS_WITHOUT_LOCK = {"registry.terraform.io/hashicorp/aws": "5.100.0"}
DOWNLOAD_TIMEOUT_S = 60.0


def release_platform() -> str:
    """Terraform's name for this machine, as `linux_amd64`."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def quiet_environment() -> dict[str, str]:
    """No call home; and no warning about a TF_CLI_CONFIG_FILE that is not there, printed before the JSON."""
    return {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}


def terraform_version(executable: str) -> str:
    """`1.11.4`, or nothing when it does not run."""
    try:
        printed = printed_by([executable, "version", "-json"], environment=quiet_environment())
        return str(json.loads(printed)["terraform_version"])
    except (ValueError, KeyError):
        return ""


def is_new_enough(version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)\.", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= OLDEST_TERRAFORM


def check_terraform(root: Path) -> Finding:
    """PATH's Terraform when it is new enough, else the one fetched into `.tools/bin`."""
    seen = []
    for candidate in (shutil.which("terraform"), str(root / ".tools/bin/terraform")):
        if not candidate or not os.access(candidate, os.X_OK):
            continue
        version = terraform_version(candidate)
        if is_new_enough(version):
            return Finding("terraform", True, f"{version} ({candidate})", value=candidate)
        seen.append(f"{candidate} is {version or 'not to be run'}")
    detail = f"1.11 or newer is needed; {'; '.join(seen) or 'none is on PATH'}"
    return Finding("terraform", False, detail, "make setup")


def ensure_terraform(root: Path) -> Finding:
    """A Terraform that is new enough; when the machine has none, the pinned release in `.tools/bin`."""
    found = check_terraform(root)
    if found.ok:
        return found
    archive = f"terraform_{TERRAFORM_VERSION}_{release_platform()}.zip"
    expected = published_checksums(root).get(archive)
    if not expected:
        raise SetupError(
            f"Terraform: {found.detail}. scripts/terraform.sha256 holds no checksum of {archive}, so it"
            f" is not fetched. Install Terraform by hand: {TERRAFORM_BY_HAND}"
        )
    base = os.environ.get("MLOPS_TERRAFORM_MIRROR") or TERRAFORM_RELEASES
    url = f"{base.rstrip('/')}/{TERRAFORM_VERSION}/{archive}"
    say("terraform", f"{found.detail}; fetching {TERRAFORM_VERSION} ...")
    with tempfile.TemporaryDirectory(dir=tools_folder(root)) as folder:
        path = Path(folder) / archive
        download(url, path, reason=found.detail)
        verify_checksum(path, expected, url=url)
        install_archive(path, root / ".tools/bin")
    found = check_terraform(root)
    if not found.ok:
        raise SetupError(f"Terraform from {url} does not run here: {found.detail}")
    return found


def published_checksums(root: Path) -> dict[str, str]:
    """Archive name to sha256, as HashiCorp publishes them."""
    lines = (root / "scripts/terraform.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines if line.strip())}


def download(url: str, path: Path, *, reason: str) -> None:
    try:
        # The address is ours or one that the user set, so S310's other schemes are the user's choice too.
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as answer, path.open("wb") as out:  # noqa: S310
            shutil.copyfileobj(answer, out)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SetupError(
            f"Terraform: {reason}, and {url} could not be fetched: {error}\n"
            f"Either install Terraform 1.11 or newer ({TERRAFORM_BY_HAND}), or put its binary at"
            " .tools/bin/terraform, or set MLOPS_TERRAFORM_MIRROR to a server that has"
            f" {TERRAFORM_VERSION}/{path.name}."
        ) from error


def verify_checksum(path: Path, expected: str, *, url: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != expected:
        raise SetupError(
            f"Terraform: {url} has sha256\n    {actual}, and the published one is\n    {expected}.\n"
            "It was thrown away. Something on the way altered it: set MLOPS_TERRAFORM_MIRROR to another"
            f" server, or install Terraform by hand: {TERRAFORM_BY_HAND}"
        )


def install_archive(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as zipped:
        unpacked = Path(zipped.extract("terraform", archive.parent))
    unpacked.chmod(0o755)
    unpacked.replace(folder / "terraform")


def wanted_providers(root: Path) -> dict[str, str]:
    """Provider address to version, from the lock files beside the Terraform roots."""
    found: dict[str, str] = {}
    for path in sorted(root.glob("iac/*/.terraform.lock.hcl")):
        found.update(re.findall(r'provider "([^"]+)" \{\s*version\s*=\s*"([^"]+)"', path.read_text()))
    return found or PROVIDERS_WITHOUT_LOCK


def named(providers: dict[str, str]) -> str:
    return ", ".join(f"{address.split('/', 1)[1]} {version}" for address, version in providers.items())


def mirror_folders(root: Path) -> Iterator[Path]:
    """Folders in which a provider may lie already, nearest first."""
    yield root / ".tools/providers"
    if os.environ.get("TF_PLUGIN_CACHE_DIR"):
        yield Path(os.environ["TF_PLUGIN_CACHE_DIR"])
    yield Path.home() / ".terraform.d/plugins"
    yield Path.home() / ".local/share/terraform/plugins"
    yield Path("/usr/local/share/terraform/plugins")
    yield Path("/usr/share/terraform/plugins")
    yield from sorted(path.parent for path in Path("/opt").glob("*/registry.terraform.io"))


def holds_providers(folder: Path, wanted: dict[str, str]) -> bool:
    """Whether the folder is a filesystem mirror, packed or unpacked, of all that is wanted."""
    machine = release_platform()
    for address, version in wanted.items():
        kind = address.rsplit("/", 1)[-1]
        packed = folder / address / f"terraform-provider-{kind}_{version}_{machine}.zip"
        unpacked = folder / address / version / machine
        if not packed.is_file() and not any(unpacked.glob(f"terraform-provider-{kind}*")):
            return False
    return True


def own_configuration() -> str:
    """The user's own Terraform CLI configuration, when it says where providers come from."""
    for name in (os.environ.get("TF_CLI_CONFIG_FILE"), str(Path.home() / ".terraformrc")):
        if name and Path(name).is_file() and "provider_installation" in Path(name).read_text():
            return name
    return ""


def check_provider(root: Path) -> Finding:
    """The locked providers: by the user's own configuration, or in a filesystem mirror."""
    wanted = wanted_providers(root)
    asked = os.environ.get("TF_PLUGIN_MIRROR")
    if not asked and own_configuration():
        return Finding("provider", True, f"{named(wanted)}, from where {own_configuration()} says")
    for folder in [Path(asked)] if asked else mirror_folders(root):
        if holds_providers(folder, wanted):
            return Finding("provider", True, f"{named(wanted)} from {folder}", value=str(folder.resolve()))
    where = f"in TF_PLUGIN_MIRROR={asked}" if asked else "on this machine"
    return Finding("provider", False, f"no {named(wanted)} for {release_platform()} {where}", "make setup")


def ensure_provider(root: Path) -> Finding:
    """The locked providers in a filesystem mirror, so that nothing is fetched once set-up is over."""
    found = check_provider(root)
    if found.ok:
        return found
    if os.environ.get("TF_PLUGIN_MIRROR"):
        raise SetupError(
            f"Terraform provider: {found.detail}. Unset TF_PLUGIN_MIRROR, or fill the folder on a machine"
            " that reaches the registry: terraform -chdir=iac/core providers mirror FOLDER"
        )
    say("provider", f"{found.detail}; fetching it (about 150 MB) ...")
    fetch_providers(root, check_terraform(root).value)
    return check_provider(root)


def fetch_providers(root: Path, terraform: str) -> None:
    """Fills `.tools/providers` from the public registry."""
    wanted = wanted_providers(root)
    requirements = "\n".join(
        f'    {address.rsplit("/", 1)[-1]} = {{ source = "{address}", version = "= {version}" }}'
        for address, version in wanted.items()
    )
    with tempfile.TemporaryDirectory(dir=tools_folder(root)) as folder:
        Path(folder, "main.tf").write_text(
            f"terraform {{\n  required_providers {{\n{requirements}\n  }}\n}}\n"
        )
        mirror = ["providers", "mirror", f"-platform={release_platform()}", str(root / ".tools/providers")]
        ended = subprocess.run(
            [terraform, f"-chdir={folder}", *mirror],
            capture_output=True,
            text=True,
            check=False,
            env=quiet_environment(),
        )
    if ended.returncode:
        raise SetupError(
            f"Terraform provider {named(wanted)} is not on this machine, and the registry did not give"
            f" it:\n{last_lines(ended.stdout + ended.stderr)}\n"
            "On a machine that reaches the registry: terraform -chdir=iac/core providers mirror FOLDER."
            " Bring FOLDER here and set TF_PLUGIN_MIRROR=FOLDER, or put it at ~/.terraform.d/plugins."
        )


def terraform_configuration(mirror: str) -> str:
    """The text of a Terraform CLI configuration that takes providers from `mirror` and calls nobody."""
    return f"""\
# Written by scripts/setup.py.
disable_checkpoint = true
provider_installation {{
  filesystem_mirror {{
    path = {json.dumps(mirror)}
  }}
}}
"""


def write_configuration(root: Path, mirror: str) -> str:
    """Path of `.tools/terraform.rc`, or nothing when the user's own configuration is to be used."""
    path = tools_folder(root) / "terraform.rc"
    if not mirror:
        path.unlink(missing_ok=True)
        return ""
    path.write_text(terraform_configuration(mirror))
    return str(path)
