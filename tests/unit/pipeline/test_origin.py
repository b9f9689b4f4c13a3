from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.commit import read_created, read_source
from pipeline.errors import UsageError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ("https://user:secret@git.example/team/models.git", "https://git.example/team/models"),
        ("https://git.example/team/models", "https://git.example/team/models"),
        ("git@git.example:team/models.git", "https://git.example/team/models"),
        ("ssh://git@git.example:2222/team/models.git", "https://git.example/team/models"),
        ("/srv/models", ""),
        ("file:///srv/models", ""),
        (None, ""),
    ],
)
def test_the_source_is_the_origins_public_address(checkout: Path, origin: str | None, source: str) -> None:
    if origin:
        subprocess.run(["git", "-C", str(checkout), "remote", "add", "origin", origin], check=True)

    assert read_source(checkout, {}) == source
    assert read_source(checkout, {"MLOPS_SOURCE": "https://other"}) == "https://other"


def test_what_is_built_of_a_commit_bears_its_time(checkout: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(checkout), *identity, "commit", "--quiet", "--allow-empty", "--message=x"]
    subprocess.run(
        command, check=True, env={"GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z", "PATH": "/usr/bin:/bin"}
    )

    assert read_created(checkout, {}) == "2026-01-02T03:04:05Z"
    assert read_created(checkout, {"SOURCE_DATE_EPOCH": "1"}) == "1970-01-01T00:00:01Z"


def test_without_git_the_time_is_the_same_for_every_build(tmp_path: Path) -> None:
    assert read_created(tmp_path, {}) == "1970-01-01T00:00:00Z"


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH must be seconds since 1970, not 'noon'"):
        read_created(tmp_path, {"SOURCE_DATE_EPOCH": "noon"})
