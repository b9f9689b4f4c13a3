"""Set-up makes the virtual environment once, and says what a machine lacks to make it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from checkout import ROOT, make_checkout, run_setup

sys.path.insert(0, str(ROOT / "scripts"))

from machine.packages import check_packages, ensure_packages, lock_stamp


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path)


def make_ready(checkout: Path) -> None:
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (checkout / ".venv/setup-stamp").write_text(lock_stamp(checkout))


def test_an_environment_as_locked_is_left_alone(checkout: Path) -> None:
    make_ready(checkout)

    assert ensure_packages(checkout) == check_packages(checkout)
    assert check_packages(checkout).ok


@pytest.mark.parametrize("name", ["requirements/dev.txt", "pyproject.toml"])
def test_a_changed_lock_asks_for_a_new_installation(checkout: Path, name: str) -> None:
    make_ready(checkout)
    (checkout / name).write_text("# changed\n")

    assert not check_packages(checkout).ok


def test_an_interrupted_installation_is_done_again(checkout: Path) -> None:
    make_ready(checkout)
    (checkout / ".venv/setup-stamp").unlink()

    assert not check_packages(checkout).ok


def test_a_python_without_venv_names_the_debian_package(checkout: Path) -> None:
    # What Debian's python3 does without python3-venv: the module is there and ends with an error.
    (checkout / "scripts/venv.py").write_text("import sys; sys.exit('ensurepip is not available')\n")

    done = run_setup(checkout, "packages", PYTHONPATH=str(checkout / "scripts"))

    assert done.returncode == 3
    assert "ensurepip is not available" in done.stderr
    assert "apt-get install python3-venv" in done.stderr


def test_an_environment_of_another_python_is_made_anew(checkout: Path) -> None:
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 2.7\n")
    python.chmod(0o755)
    (checkout / "scripts/venv.py").write_text("import sys; sys.exit(f'called with {sys.argv[1:]}')\n")

    done = run_setup(checkout, "packages", PYTHONPATH=str(checkout / "scripts"))

    assert done.returncode == 3
    assert f"called with ['--clear', '{checkout}/.venv']" in done.stderr


def test_the_check_names_every_part_as_json(checkout: Path) -> None:
    done = run_setup(checkout, "--check", "--json")

    found = json.loads(done.stdout)
    assert {"python", "packages", "terraform", "provider", "engine"} <= set(found)
    assert found["packages"]["next_step"] == "make setup"
    assert done.returncode == 3


def test_an_engine_that_does_not_answer_is_named_and_not_needed(checkout: Path) -> None:
    done = run_setup(checkout, "--check", "--json", DOCKER_HOST="unix:///nowhere/docker.sock")

    engine = json.loads(done.stdout)["engine"]
    assert not engine["ok"]
    assert not engine["required"]
    assert "/nowhere/docker.sock" in engine["detail"]


def test_an_unknown_part_is_a_wrong_call(checkout: Path) -> None:
    done = run_setup(checkout, "everything")

    assert done.returncode == 2
    assert "no such part: everything" in done.stderr
