"""A YAML document that remembers the line of each of its values, so that a message can name it.

Scalars follow YAML 1.2's core schema, as Terraform's `yamldecode` does: `no` is a word and `1e-4` a number,
whereas PyYAML's own loaders (YAML 1.1) make them False and a string.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model_src.errors import ContractError, Problem

Location = tuple[str | int, ...]

_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its value, and the line (from 1) of the key or item at each location."""

    file: str
    value: Any
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int:
        """The line of `location`, or of the nearest thing around it that is written down."""
        while location not in self.lines and location:
            location = location[:-1]
        return self.lines.get(location, 1)

    def problem(self, location: Location, *, rule: str, message: str) -> Problem:
        """A problem at `location`, whose name leads the message."""
        return Problem(self.file, self.line(location), rule, f"{dotted(location)}: {message}")


def dotted(location: Location) -> str:
    """`columns[2].type` for ("columns", 2, "type")."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "the document"


def read_document(path: Path) -> Document:
    """The document in `path`.

    Raises: ContractError if it is not one plain YAML document: no aliases (they can expand without end), no
    tags, no key twice.
    """
    node = _compose(path)
    reader = _Reader(path)
    value = reader.value(node, ())
    return Document(str(path), value, reader.lines)


def _compose(path: Path) -> yaml.Node:
    try:
        node: yaml.Node | None = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except FileNotFoundError as error:
        raise _error(path, 1, "file", f"there is no {path.name} in {path.parent}") from error
    except UnicodeDecodeError as error:
        raise _error(path, 1, "file", f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _error(path, line, "yaml", str(error.problem)) from error
    except yaml.YAMLError as error:
        raise _error(path, 1, "yaml", str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise _error(path, 1, "yaml", "nested too deeply") from error
    if node is None:
        raise _error(path, 1, "yaml", "the file is empty")
    return node


def _error(path: Path, line: int, rule: str, message: str) -> ContractError:
    return ContractError([Problem(str(path), line, rule, message)])


class _Reader:
    """Builds plain values from YAML nodes and keeps the line of each."""

    def __init__(self, path: Path) -> None:
        self.lines: dict[Location, int] = {}
        self._path = path
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, location: Location) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(location, line)
        if id(node) in self._seen:
            message = f"{dotted(location)}: write the value out instead of an alias"
            raise _error(self._path, line, "yaml-alias", message)
        self._seen.add(id(node))
        if node.tag not in _PLAIN_TAGS and node.tag != "!":
            raise _error(
                self._path, line, "yaml-tag", f"{dotted(location)}: the tag {node.tag} is not allowed"
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*location, i)) for i, child in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            here = (*location, key)
            if key in result:
                raise _error(self._path, line, "yaml-key", f"{dotted(here)}: the key is written twice")
            self.lines[here] = line
            result[key] = self.value(value_node, here)
        return result


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if (
        isinstance(node, yaml.ScalarNode) and node.style is not None
    ):  # quoted or a block: text, whatever it looks like
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text
