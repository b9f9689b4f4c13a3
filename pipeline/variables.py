"""What an environment's .tfvars gives, held against what Terraform took of it.

Flow 1 (merge to main), in every plan. Terraform drops an attribute that an object's type does not know,
without a word: a misspelled switch would leave its default in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError


def check_variables(representation: Mapping[str, Any], file: Path) -> None:
    """Raises: UsageError naming each setting that Terraform dropped, and where it stands.

    A plan's representation has the variables as they were given, and in its output `settings` as they were
    taken.
    """
    given = {name: variable.get("value") for name, variable in representation.get("variables", {}).items()}
    outputs = representation.get("planned_values", {}).get("outputs", {})
    taken = outputs["settings"]["value"] if "settings" in outputs else {}
    problems = [
        f"{file.name}{_find_line(file, path[-1])}: there is no setting {'.'.join(path)}; "
        f"{'.'.join(path[:-1])} has {', '.join(sorted(known))}."
        for name in taken
        for path, known in find_dropped(given.get(name), taken[name], (name,))
    ]
    if problems:
        raise UsageError(" ".join(problems))


def find_dropped(
    given: object, taken: object, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The path of each given member that was not taken, with the names that would have been."""
    if not isinstance(given, dict) or not isinstance(taken, dict):
        return
    for name, value in given.items():
        if name in taken:
            yield from find_dropped(value, taken[name], (*path, name))
        else:
            yield (*path, name), tuple(taken)


def _find_line(file: Path, name: str) -> str:
    """ ":12", where a line of the file gives that name."""
    lines = enumerate(file.read_text().splitlines(), start=1)
    found = [number for number, line in lines if re.search(rf'\b{re.escape(name)}"?\s*[=:]', line)]
    return f":{found[0]}" if found else ""
