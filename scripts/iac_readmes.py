#!/usr/bin/env python3
"""Writes what a README of iac/ says by itself: a module's example, and the tables of inputs and outputs.

Prose stands above and is written by hand. Below `<!-- example -->` comes examples/basic/main.tf as it is, and
below `<!-- tables -->` what variables and outputs say of themselves.

    python3 scripts/iac_readmes.py            writes
    python3 scripts/iac_readmes.py --check    1 when a README is out of date or the code lacks a description
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from hcl2.utils import SerializationOptions

IAC = Path(__file__).resolve().parent.parent / "iac"
ROOTS = ("bootstrap", "core", "environment")
EXAMPLE = "<!-- example -->\n"
TABLES = "<!-- tables -->\n"

_AS_WRITTEN = SerializationOptions(wrap_objects=True, wrap_tuples=True, preserve_heredocs=False)


class ReadmeError(Exception):
    """What the code or the README lacks, and where."""


@dataclass(frozen=True)
class Variable:
    """`default` is HCL; None where the variable must be given."""

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Output:
    name: str
    description: str


def list_folders(iac: Path) -> list[Path]:
    """Every root and every module."""
    modules = sorted(path.parent for path in iac.glob("modules/*/versions.tf"))
    return [*(iac / name for name in ROOTS), *modules]


def read_blocks(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, attributes) of each block of that kind in the folder, by name."""
    found: list[tuple[str, dict[str, Any]]] = []
    for file in sorted(folder.glob("*.tf")):
        text = file.read_text()
        if re.search(rf'^{kind} "', text, re.MULTILINE):
            for block in hcl2.loads(text, serialization_options=_AS_WRITTEN).get(kind, []):
                found.extend((name.strip('"'), attributes) for name, attributes in block.items())
    yield from sorted(found, key=lambda pair: pair[0])


def read_variable(folder: Path, name: str, attributes: dict[str, Any]) -> Variable:
    if "type" not in attributes:
        raise ReadmeError(f"{folder}: variable {name} has no type.")
    return Variable(
        name=name,
        type=shorten_type(render_value(attributes["type"])),
        default=render_value(attributes["default"]) if "default" in attributes else None,
        description=read_description(folder, f"variable {name}", attributes),
    )


def read_description(folder: Path, what: str, attributes: dict[str, Any]) -> str:
    """On one line."""
    text = str(attributes.get("description", "")).strip('"').replace("\\n", " ").replace('\\"', '"')
    if not text.strip():
        raise ReadmeError(f"{folder}: {what} has no description.")
    return " ".join(text.split())


def render_value(value: Any) -> str:
    """A value of the parser as it is written in HCL."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text[2:-1] if text.startswith("${") else text


def shorten_type(text: str) -> str:
    """An object's fields are told by the description."""
    start = text.find("object({")
    if start < 0:
        return text
    return text[: start + len("object")] + ")" * text[:start].count("(")


def render_tables(folder: Path) -> str:
    variables = [read_variable(folder, *block) for block in read_blocks(folder, "variable")]
    outputs = [
        Output(name, read_description(folder, f"output {name}", attributes))
        for name, attributes in read_blocks(folder, "output")
    ]
    inputs = [
        (
            f"`{one.name}`",
            f"`{one.type}`",
            "required" if one.default is None else f"`{one.default}`",
            one.description,
        )
        for one in variables
    ]
    results = [(f"`{one.name}`", one.description) for one in outputs]
    tables = [
        render_table(("input", "type", "default", "description"), inputs),
        render_table(("output", "description"), results),
    ]
    return "\n".join(table for table in tables if table)


def render_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Empty without rows."""
    if not rows:
        return ""
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(
        f"|{'|'.join(line)}|\n" if line[0] == "---" else f"| {' | '.join(line)} |\n" for line in lines
    )


def render_readme(folder: Path) -> str:
    """The README as it has to be: its own prose, then what the code says. Raises: ReadmeError."""
    file = folder / "README.md"
    if not file.is_file():
        raise ReadmeError(f"{folder} has no README.md: write a title, a paragraph, {TABLES.strip()}.")
    text = file.read_text()
    if TABLES not in text:
        raise ReadmeError(f"{file} lacks the line {TABLES.strip()}.")
    prose = text.split(TABLES)[0]
    example = folder / "examples" / "basic" / "main.tf"
    if example.is_file():
        if EXAMPLE not in prose:
            raise ReadmeError(f"{file} lacks the line {EXAMPLE.strip()}.")
        prose = f"{prose.split(EXAMPLE)[0]}{EXAMPLE}\n```hcl\n{example.read_text()}```\n\n"
    return f"{prose}{TABLES}\n{render_tables(folder)}"


def main(arguments: list[str], iac: Path = IAC) -> int:
    stale = []
    for folder in list_folders(iac):
        try:
            page = render_readme(folder)
        except ReadmeError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        file = folder / "README.md"
        if page != file.read_text():
            stale.append(file)
            if "--check" not in arguments:
                file.write_text(page)
    if stale and "--check" in arguments:
        names = ", ".join(str(file.relative_to(iac.parent)) for file in stale)
        print(f"not up to date: {names}. Run `make docs`.", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
