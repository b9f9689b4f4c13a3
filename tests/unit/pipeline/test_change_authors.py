"""Whose change is delivered: of a merge, everybody's who wrote on the branch."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.commit import name_author, read_authors


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


def test_authors_may_be_added_and_none_taken_away(checkout: Path) -> None:
    assert read_authors(checkout, {"MLOPS_AUTHORS": "bob, eve,,"}) == ("ann", "bob", "eve")


def test_without_git_nobody_is_known(tmp_path: Path) -> None:
    assert read_authors(tmp_path, {}) == ()


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
