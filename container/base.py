"""Takes out of the base image what only installs or tests, and lays out the rest: `base.py FOLDER`.

Run as root in a stage of the Dockerfile. What a Debian package put there is removed with the package, so that
dpkg's list stays true.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# perl is there for the scripts that configure packages, and none is configured any more.
INSTALLERS = [
    *("python3*-venv", "python3-pip*", "python3-setuptools*", "python3-distutils", "python3-lib2to3"),
    *("apt", "debconf", "perl-base"),
]
# What they say differs from one build to the next.
TRACES = [
    "tmp/*",
    "var/log/*",
    "var/cache/ldconfig/*",
    "var/cache/debconf",
    "var/lib/dpkg/*-old",
    "root/.cache",
]
UNUSED_MODULES = ["ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo"]


def main(target: Path) -> None:
    remove_debian_packages()
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "uninstall", "--yes", "--quiet"]
        subprocess.run([*pip, "setuptools", "wheel", "pip"], check=True)
    library = Path(sysconfig.get_path("stdlib"))
    for name in UNUSED_MODULES:
        shutil.rmtree(library / name, ignore_errors=True)
    # A later stage changes every time stamp, and a cache that goes by them would never be used again.
    compile_command = ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", str(library)]
    subprocess.run([sys.executable, *compile_command], check=True)
    for pattern in TRACES:
        for path in Path("/").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Nothing in the image needs another user's rights.
    subprocess.run("find / -xdev -type f -perm /6000 -exec chmod a-s {} +", shell=True, check=True)  # noqa: S602
    lay_out(target)


def lay_out(target: Path) -> None:
    """Everything but what the engine mounts into this container: /proc, and files that name this machine."""
    mounts = {Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    parts = {path for path in Path("/").iterdir() if path != target and path.name != ".dockerenv"}
    target.mkdir()
    subprocess.run(["cp", "--archive", *sorted(parts - mounts), target], check=True)
    for mount in sorted(mounts):
        copied = target / mount.relative_to("/")
        if copied.is_file():
            copied.write_bytes(b"")
        elif mount in parts:
            copied.mkdir()


def remove_debian_packages() -> None:
    asked = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *INSTALLERS]
    # Its exit code is 1 as soon as one pattern matches nothing.
    listed = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")
    installed = [line.split()[0] for line in listed if line.endswith(" installed")]
    if installed:
        forced = ["--force-depends", "--force-remove-essential", "--force-remove-protected"]
        subprocess.run(["dpkg", "--purge", *forced, *installed], check=True, capture_output=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
