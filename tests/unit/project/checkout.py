"""A small checkout in a temporary folder, and a web server for files, to run the real set-up script in."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def make_checkout(folder: Path) -> Path:
    """What set-up needs of a checkout: its own scripts, the locks, and nothing installed."""
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements").mkdir()
    (folder / "requirements/dev.txt").write_text("")
    (folder / "pyproject.toml").write_text('[project]\nname = "small"\nversion = "0"\n')
    (folder / "home").mkdir()
    return folder


def run_setup(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The set-up script on a machine that has nothing but Python: without site-packages, by -S."""
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout / "home")}
    return subprocess.run(
        [sys.executable, "-S", str(checkout / "scripts/setup.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, **variables},
    )


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{shutil.which('sh')}\n{text}\n")
    path.chmod(0o755)
    return path


def write_terraform(path: Path, version: str) -> Path:
    """A program that answers `terraform version -json` as Terraform does."""
    return write_program(path, f"""echo '{{"terraform_version": "{version}"}}'""")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """The address of a web server that gives the folder's files."""
    handler = functools.partial(QuietHandler, directory=os.fspath(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
