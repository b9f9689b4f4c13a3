"""The Python that runs us, the virtual environment, and the wheels that go into the model image."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine.finding import Finding, SetupError, last_lines, printed_by, say
from machine.terraform import release_platform

OLDEST_PYTHON = (3, 11)


def restart_with_newer_python(argv: list[str]) -> None:
    """Replaces this process by the first newer Python on PATH, when this one is too old."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(OLDEST_PYTHON[1], 20):
        found = shutil.which(f"python3.{minor}")
        # A pyenv shim exists for versions that are not chosen, and fails when called.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            os.execv(found, [found, *argv])  # noqa: S606
    raise SetupError(
        f"Python 3.11 or newer is needed, and {sys.executable} is {platform.python_version()}. Install one"
        " (Debian 12 and Ubuntu 24.04 have it as python3), or name it: make PYTHON=/path/to/python3.11"
    )


def check_python() -> Finding:
    return Finding("python", True, f"{platform.python_version()} ({sys.executable})")


def lock_stamp(root: Path) -> str:
    """Hash of all that decides what the virtual environment holds."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (root / "requirements/dev.txt", root / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_packages(root: Path) -> Finding:
    stamp = root / ".venv/setup-stamp"
    python = root / ".venv/bin/python"
    if not python.exists():
        return Finding("packages", False, "there is no virtual environment in .venv", "make setup")
    if not stamp.exists() or stamp.read_text() != lock_stamp(root):
        return Finding("packages", False, ".venv is not what requirements/dev.txt says", "make setup")
    return Finding("packages", True, "as locked in requirements/dev.txt", value=str(python))


def ensure_packages(root: Path) -> Finding:
    """The virtual environment as the lock says; touched only when the lock, or the Python, changed."""
    found = check_packages(root)
    if found.ok:
        return found
    venv = root / ".venv"
    stamp = venv / "setup-stamp"
    stamp.unlink(missing_ok=True)
    started = time.monotonic()
    say("packages", "installing requirements/dev.txt into .venv (a minute or two) ...")
    make_environment(venv)
    run_pip(venv, "install", "--require-hashes", "-r", str(root / "requirements/dev.txt"))
    run_pip(venv, "install", "--no-deps", "--no-build-isolation", "-e", str(root))
    stamp.write_text(lock_stamp(root))
    detail = f"requirements/dev.txt installed in {time.monotonic() - started:.0f} s"
    return dataclasses.replace(check_packages(root), detail=detail)


def make_environment(venv: Path) -> None:
    """A virtual environment of this Python; one that is there and of the same version is kept."""
    python = venv / "bin/python"
    if printed_by([str(python), "-c", "import sys; print(sys.version)"]) == sys.version:
        return
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"Python {version} ({sys.executable}) could not make the virtual environment {venv}:\n"
            f"{last_lines(made.stdout + made.stderr)}\n"
            f"On Debian and Ubuntu: sudo apt-get install python3-venv (or python{version}-venv), and run"
            " this again."
        )


def run_pip(venv: Path, *arguments: str) -> None:
    command = [str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SetupError(
            f"pip {arguments[0]} failed:\n{last_lines(ended.stdout + ended.stderr)}\n"
            "If the package index is out of reach, name a mirror of it in PIP_INDEX_URL or pip.conf."
        )


def wheel_platforms() -> list[str]:
    """pip's options for wheels that run in a Linux container of this machine's kind, with glibc 2.36."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[release_platform().split("_")[1]]
    tags = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37))]
    return [option for tag in tags for option in ("--platform", f"{tag}_{machine}")]


def check_wheels(root: Path) -> Finding:
    lock = root / "requirements/training.txt"
    stamp = root / "build/wheelhouse/.stamp"
    if stamp.exists() and stamp.read_text() == hashlib.sha256(lock.read_bytes()).hexdigest():
        return Finding(
            "wheelhouse", True, "build/wheelhouse, as locked in requirements/training.txt", required=False
        )
    detail = "build/wheelhouse is not what requirements/training.txt says"
    return Finding("wheelhouse", False, detail, "make setup", required=False)


def ensure_wheels(root: Path) -> Finding:
    """The image's packages as wheels, so that the image is built without a network."""
    found = check_wheels(root)
    if found.ok:
        return found
    lock = root / "requirements/training.txt"
    folder = root / "build/wheelhouse"
    started = time.monotonic()
    say("wheelhouse", "downloading requirements/training.txt for the model's images ...")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    version = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    options = ["--require-hashes", "--only-binary", ":all:", "--dest", str(folder), *version]
    run_pip(root / ".venv", "download", *options, *wheel_platforms(), "-r", str(lock))
    (folder / ".stamp").write_text(hashlib.sha256(lock.read_bytes()).hexdigest())
    detail = f"downloaded into build/wheelhouse in {time.monotonic() - started:.0f} s"
    return dataclasses.replace(check_wheels(root), detail=detail)


def check_scanner(root: Path) -> Finding:
    folder, lock = root / ".tools/scan", root / "requirements/scan.txt"
    stamp = folder / "setup-stamp"
    if stamp.exists() and stamp.read_text() == hashlib.sha256(lock.read_bytes()).hexdigest():
        value = str(folder / "bin/python")
        return Finding("scanner", True, "as locked in requirements/scan.txt", required=False, value=value)
    return Finding("scanner", False, "checkov is not in .tools/scan", "make scan", required=False)


def ensure_scanner(root: Path) -> Finding:
    """checkov, in an environment of its own: its pins and ours exclude each other."""
    found = check_scanner(root)
    if found.ok:
        return found
    folder, lock = root / ".tools/scan", root / "requirements/scan.txt"
    started = time.monotonic()
    say("scanner", "installing requirements/scan.txt into .tools/scan (a minute or so) ...")
    make_environment(folder)
    run_pip(folder, "install", "--require-hashes", "-r", str(lock))
    (folder / "setup-stamp").write_text(hashlib.sha256(lock.read_bytes()).hexdigest())
    detail = f"requirements/scan.txt installed in {time.monotonic() - started:.0f} s"
    return dataclasses.replace(check_scanner(root), detail=detail)
