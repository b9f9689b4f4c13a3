"""Set-up finds the locked provider in a filesystem mirror, or says how to bring it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from checkout import ROOT, make_checkout, run_setup, write_program, write_terraform

sys.path.insert(0, str(ROOT / "scripts"))

from machine.terraform import release_platform, terraform_configuration, wanted_providers

ADDRESS = "registry.terraform.io/hashicorp/aws"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    make_checkout(tmp_path)
    write_terraform(tmp_path / "bin/terraform", "1.11.4")
    lock_provider(tmp_path, "9.8.7")
    return tmp_path


def lock_provider(checkout: Path, version: str) -> None:
    lock = checkout / "iac/core/.terraform.lock.hcl"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(f'provider "{ADDRESS}" {{\n  version     = "{version}"\n  constraints = "~> 9.0"\n}}\n')


def unpacked_mirror(folder: Path, version: str) -> Path:
    program = folder / ADDRESS / version / release_platform() / f"terraform-provider-aws_v{version}_x5"
    program.parent.mkdir(parents=True)
    program.touch()
    return folder


def packed_mirror(folder: Path, version: str) -> Path:
    archive = folder / ADDRESS / f"terraform-provider-aws_{version}_{release_platform()}.zip"
    archive.parent.mkdir(parents=True)
    archive.touch()
    return folder


def test_the_lock_file_says_which_provider_is_wanted(checkout: Path) -> None:
    assert wanted_providers(checkout) == {ADDRESS: "9.8.7"}


@pytest.mark.parametrize("make_mirror", [unpacked_mirror, packed_mirror])
def test_a_mirror_named_by_the_user_is_taken(checkout: Path, make_mirror) -> None:  # type: ignore[no-untyped-def]
    mirror = make_mirror(checkout / "mirror", "9.8.7")

    done = run_setup(checkout, "provider", TF_PLUGIN_MIRROR=str(mirror))

    assert done.returncode == 0, done.stderr
    assert f"hashicorp/aws 9.8.7 from {mirror}" in done.stdout


def test_the_users_plugin_folder_is_found(checkout: Path) -> None:
    mirror = unpacked_mirror(checkout / "home/.terraform.d/plugins", "9.8.7")

    done = run_setup(checkout, "provider")

    assert done.returncode == 0, done.stderr
    assert str(mirror) in done.stdout


def test_a_mirror_of_another_version_is_refused(checkout: Path) -> None:
    mirror = unpacked_mirror(checkout / "mirror", "9.8.6")

    done = run_setup(checkout, "provider", TF_PLUGIN_MIRROR=str(mirror))

    assert done.returncode == 3
    assert "no hashicorp/aws 9.8.7" in done.stderr
    assert "providers mirror FOLDER" in done.stderr


def test_the_registry_fills_the_projects_own_mirror(checkout: Path) -> None:
    # What the real command does, for the one file that set-up looks for afterwards.
    archive = f"{ADDRESS}/terraform-provider-aws_9.8.7_{release_platform()}.zip"
    write_program(
        checkout / "bin/terraform",
        f"""
case "$1" in
  version) echo '{{"terraform_version": "1.11.4"}}' ;;
  *) for folder; do :; done; /bin/mkdir -p "$folder/{ADDRESS}"; : > "$folder/{archive}" ;;
esac""",
    )

    done = run_setup(checkout, "provider")

    assert done.returncode == 0, done.stderr
    assert "fetching" in done.stdout
    assert (checkout / ".tools/providers" / archive).is_file()


def test_an_unreachable_registry_says_how_to_bring_the_provider(checkout: Path) -> None:
    write_program(
        checkout / "bin/terraform",
        """
case "$1" in
  version) echo '{"terraform_version": "1.11.4"}' ;;
  *) echo 'Error: could not connect to registry.terraform.io' >&2; exit 1 ;;
esac""",
    )

    done = run_setup(checkout, "provider")

    assert done.returncode == 3
    assert "could not connect to registry.terraform.io" in done.stderr
    assert "TF_PLUGIN_MIRROR=FOLDER" in done.stderr


def test_a_users_own_installation_block_is_respected(checkout: Path) -> None:
    (checkout / "home/.terraformrc").write_text(
        'provider_installation {\n  network_mirror {\n    url = "https://x"\n  }\n}\n'
    )

    done = run_setup(checkout, "provider")

    assert done.returncode == 0, done.stderr
    assert "from where" in done.stdout


def test_the_configuration_takes_providers_from_the_mirror_only() -> None:
    text = terraform_configuration('/a "quoted" place')

    assert 'path = "/a \\"quoted\\" place"' in text
    assert "disable_checkpoint = true" in text
    assert "direct" not in text
