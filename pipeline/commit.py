"""Which commit is being delivered."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import UsageError


def read_commit(checkout: Path, environ: Mapping[str, str]) -> str:
    """MLOPS_COMMIT if given, else git's HEAD, with `-dirty` when files differ from it."""
    if given := environ.get("MLOPS_COMMIT"):
        return given
    commit = _git(checkout, "rev-parse", "HEAD")
    return f"{commit}-dirty" if _git(checkout, "status", "--porcelain", "--untracked-files=no") else commit


def read_created(checkout: Path, environ: Mapping[str, str]) -> str:
    """The time that what is built of a commit bears: SOURCE_DATE_EPOCH if given, else the commit's own.

    It is 1970 where there is no git folder to ask: a time of its own would give every build its own digest.
    """
    epoch_s = environ.get("SOURCE_DATE_EPOCH", "0")
    if "SOURCE_DATE_EPOCH" not in environ and (checkout / ".git").exists():
        epoch_s = _git(checkout, "show", "--no-patch", "--format=%ct", "HEAD")
    if not epoch_s.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH must be seconds since 1970, not {epoch_s!r}.")
    return datetime.fromtimestamp(int(epoch_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_source(checkout: Path, environ: Mapping[str, str]) -> str:
    """Where the code is from: MLOPS_SOURCE or git's origin as an https address, empty where there is none.

    A login in the address is left out, and so is an origin that is a folder of some machine.
    """
    if "MLOPS_SOURCE" in environ:
        return environ["MLOPS_SOURCE"]
    if not (checkout / ".git").exists():
        return ""
    origin = _git(checkout, "config", "--default", "", "--get", "remote.origin.url")
    # https://login@host/path, ssh://git@host/path, git@host:path
    matched = re.match(
        r"(?:(?:https|ssh)://(?:[^/@]*@)?|[^/@:]+@)([\w.-]+)(?::\d+/|[:/])(.+?)(?:\.git)?/?$", origin
    )
    return f"https://{matched[1]}/{matched[2]}" if matched else ""


def read_authors(checkout: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Whose change is being delivered: who wrote HEAD and what it merged, and whom MLOPS_AUTHORS adds."""
    given = {name.strip() for name in environ.get("MLOPS_AUTHORS", "").split(",")} - {""}
    return tuple(sorted(given | _read_writers(checkout)))


def read_writers_since(checkout: Path, commit: str) -> set[str]:
    """Who wrote what stands in HEAD and not in this commit: everybody, where the history does not know it.

    Raises: UsageError where the checkout holds only the end of the history.
    """
    if not (checkout / ".git").exists():
        return set()
    commit = commit.removesuffix("-dirty")
    if _has_commit(checkout, commit):
        return _read_names(checkout, f"{commit}..HEAD")
    if _git(checkout, "rev-parse", "--is-shallow-repository") == "true":
        raise UsageError(
            f"Whose change this is cannot be told: commit {commit}, which was applied last, is not in the "
            f"part of the history that {checkout} has. Fetch all of it: `git fetch --unshallow`."
        )
    return _read_names(checkout, "HEAD")


def _has_commit(checkout: Path, commit: str) -> bool:
    command = ["git", "-C", str(checkout), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _read_writers(checkout: Path) -> set[str]:
    """Nobody where there is no git folder to ask."""
    if not (checkout / ".git").exists():
        return set()
    # A merge brings its branch along; the first commit of all has nothing before it.
    parents = _git(checkout, "show", "--no-patch", "--format=%P", "HEAD").split()
    return _read_names(checkout, f"{parents[0]}..HEAD" if parents else "HEAD")


def _read_names(checkout: Path, commits: str) -> set[str]:
    emails = _git(checkout, "log", "--format=%ae", commits).splitlines()
    return {name_author(email) for email in emails}


def name_author(email: str) -> str:
    """The name behind a commit's address: `ann` of `ann@example.com`, and of GitHub's `1+ann@...`."""
    local, _, host = email.partition("@")
    return local.partition("+")[2] or local if host == "users.noreply.github.com" else local


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
