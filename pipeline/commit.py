"""Which commit is being delivered."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UsageError


def read_commit(checkout: Path, environ: Mapping[str, str]) -> str:
    """MLOPS_COMMIT if given, else git's HEAD, with `-dirty` when files differ from it."""
    if given := environ.get("MLOPS_COMMIT"):
        return given
    commit = _git(checkout, "rev-parse", "HEAD")
    return f"{commit}-dirty" if _git(checkout, "status", "--porcelain", "--untracked-files=no") else commit


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"The commit of {checkout} cannot be told ({error}). Give it as MLOPS_COMMIT=<sha>."
        ) from error
    return done.stdout.strip()
