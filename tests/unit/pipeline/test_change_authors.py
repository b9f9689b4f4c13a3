"""Whose change is delivered: of a merge, everybody's who wrote on the branch."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.commit import name_author, read_authors, read_commit, read_writers_since
from pipeline.errors import UsageError


def git(folder: Path, *arguments: str, author: str = "ann@example.com") -> None:
    identity = ("-c", "user.name=x", "-c", f"user.email={author}", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    return tmp_path


def test_the_first_commit_has_its_author(checkout: Path) -> None:
    assert read_authors(checkout, {}) == ("ann",)


def test_a_commit_has_its_own_author_only(checkout: Path) -> None:
    git(checkout, "commit", "--allow-empty", "-m", "second", author="bob@example.com")

    assert read_authors(checkout, {}) == ("bob",)


def test_a_merge_has_the_authors_of_its_branch(checkout: Path) -> None:
    git(checkout, "checkout", "-b", "branch")
    git(checkout, "commit", "--allow-empty", "-m", "one", author="7+octo-cat@users.noreply.github.com")
    git(checkout, "commit", "--allow-empty", "-m", "two", author="dora@example.com")
    git(checkout, "checkout", "main")
    git(checkout, "merge", "--no-ff", "branch", "-m", "merge", author="eve@example.com")

    assert read_authors(checkout, {}) == ("dora", "eve", "octo-cat")


@pytest.fixture
def applied(checkout: Path) -> str:
    """What runs; bob and dora have written since."""
    first = read_commit(checkout, {})
    for author in ("bob", "dora"):
        git(checkout, "commit", "--allow-empty", "-m", author, author=f"{author}@example.com")
    return first


@pytest.mark.parametrize("state", ["", "-dirty"])
def test_everybody_counts_who_wrote_since_the_last_apply(checkout: Path, applied: str, state: str) -> None:
    assert read_writers_since(checkout, f"{applied}{state}") == {"bob", "dora"}


def test_going_back_to_an_older_commit_brings_nobodys_change(checkout: Path, applied: str) -> None:
    newer = read_commit(checkout, {})
    git(checkout, "reset", "--hard", applied)

    assert read_writers_since(checkout, newer) == set()


@pytest.mark.parametrize("unknown", ["0" * 40, "v1", "--all", ""])
def test_of_a_commit_that_the_history_does_not_know_everybody_counts(
    checkout: Path, applied: str, unknown: str
) -> None:
    assert read_writers_since(checkout, unknown) == {"ann", "bob", "dora"}


def test_where_the_history_was_cut_off_nobody_is_guessed(
    checkout: Path, applied: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shallow = tmp_path_factory.mktemp("clone") / "shallow"
    git(checkout, "clone", "--depth", "1", checkout.as_uri(), str(shallow))

    with pytest.raises(UsageError, match=r"cannot be told.*git fetch --unshallow"):
        read_writers_since(shallow, applied)


def test_authors_may_be_added_and_none_taken_away(checkout: Path) -> None:
    assert read_authors(checkout, {"MLOPS_AUTHORS": "bob, eve,,"}) == ("ann", "bob", "eve")


def test_without_git_nobody_is_known(tmp_path: Path) -> None:
    assert read_authors(tmp_path, {}) == ()
    assert read_writers_since(tmp_path, "0" * 40) == set()


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("ann@example.com", "ann"),
        ("1234+ann@users.noreply.github.com", "ann"),
        ("ann@users.noreply.github.com", "ann"),
        ("ann+x@example.com", "ann+x"),
    ],
)
def test_the_name_behind_an_address(email: str, name: str) -> None:
    assert name_author(email) == name
