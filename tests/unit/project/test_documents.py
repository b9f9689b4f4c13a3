"""The documents say what is so, and tracked files hold nothing of one machine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from checkout import ROOT

from pipeline.cli import app
from pipeline.errors import PipelineError

README = (ROOT / "README.md").read_text()
# Each is the beginning of a path or a host that only some machines have.
MACHINE_SPECIFIC = [
    r"/root/",
    r"/work/",
    r"/home/(?!app\b)\w+/",
    r"/Users/\w+/",
    r"pypi\.org",
    r"pythonhosted\.org",
    r"index-url[ =]+https?:",
    r"registry\.npmjs",
    r"deb\.debian\.org",
    r"\b10\.\d+\.\d+\.\d+:\d+",
]


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


def command_names(command: typer.core.TyperGroup) -> Iterator[str]:
    yield from command.commands


def error_classes(base: type[PipelineError]) -> Iterator[type[PipelineError]]:
    yield base
    for child in base.__subclasses__():
        yield from error_classes(child)


@pytest.mark.parametrize("document", [README, (ROOT / "CONTRIBUTING.md").read_text()])
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"(?:`|^)make ([a-z]+)", document, re.MULTILINE))

    assert named
    assert named <= targets


def test_every_command_in_the_readme_exists_and_the_other_way_round() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    table = README.split("## Commands")[1].split("##")[0]
    cells = " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))

    named = set(re.findall(r"`(?:mlops )?([a-z-]+)", cells)) - {"down"}

    assert named == set(command_names(group))


def test_every_test_that_is_named_as_a_proof_exists() -> None:
    proofs = (
        (ROOT / "docs" / "infrastructure.md").read_text().split("## What may go wrong")[1].split("## ")[0]
    )
    file, missing = Path(), []
    named = re.findall(r"`(tests/[\w/]+\.py)`|`(test_\w+)`", proofs)
    for path, test in named:
        file = ROOT / path if path else file
        if test and f"def {test}(" not in file.read_text():
            missing.append(test)

    assert len(named) > 20
    assert missing == []


def test_every_test_that_shows_what_retraining_survives_exists() -> None:
    document = (ROOT / "docs" / "retraining.md").read_text().split("## What it survives")[1]
    named = set(re.findall(r"`(test_\w+)`", document))
    there = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) > 20
    assert named <= set(re.findall(r"^def (test_\w+)", there, re.MULTILINE))


def test_every_relative_link_leads_somewhere() -> None:
    broken = []
    for document in documents():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")

    assert broken == []


def test_every_file_that_a_document_names_exists() -> None:
    pattern = r"`((?:pipeline|model_src|localaws|iac|container|scripts|docs|\.ci)/[\w./-]+)`"
    missing = []
    for document in documents():
        for name in re.findall(pattern, document.read_text()):
            if not any(ROOT.glob(name.rstrip("/"))):
                missing.append(f"{document.relative_to(ROOT)}: {name}")

    assert missing == []


def test_the_runbook_has_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)

    documented = {name: int(code) for code, name in rows}

    first_of_code: dict[int, str] = {}
    for error in error_classes(PipelineError):
        first_of_code.setdefault(error.exit_code, error.__name__)
    assert documented == {name: code for code, name in first_of_code.items()}


@pytest.mark.parametrize("pattern", MACHINE_SPECIFIC)
def test_no_tracked_file_names_a_machine_or_an_index(pattern: str) -> None:
    found = []
    for path in tracked_files():
        if path == Path(__file__):
            continue
        text = path.read_text(errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in re.finditer(pattern, text)]

    assert found == []
