"""A repository of its own with what this checkout holds: a test commits to it, a front end delivers."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kept_demo import ROOT


@dataclass(frozen=True)
class Repository:
    """A checkout as an agent has it: set up, with nothing built."""

    path: Path

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str, *, author: str) -> str:
        """Everything that differs, as this author's change; its hash."""
        identity = ("-c", f"user.name={author}", "-c", f"user.email={author}@example.com")
        self.git(*identity, "commit", "--quiet", "--all", "--message", message)
        return self.head


def make_repository(path: Path) -> Repository:
    """The files that git knows here, as they stand, in one commit; and what set-up provided."""
    repository = Repository(path)
    copy_files(path)
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.git("add", "--all", "--force")
    repository.commit("All there is", author="root")
    link_tools(path)
    return repository


def copy_files(path: Path) -> None:
    """The files that git knows here, as they stand; no commit."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)


def link_tools(path: Path) -> None:
    """What set-up provided."""
    (path / ".venv").symlink_to(ROOT / ".venv")
    (path / ".tools").mkdir()
    for tool in (ROOT / ".tools").iterdir():
        # Set-up writes the files each time, and others are reading ours.
        if tool.is_file():
            shutil.copy2(tool, path / ".tools" / tool.name)
        else:
            (path / ".tools" / tool.name).symlink_to(tool)
