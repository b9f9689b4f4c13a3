"""The Lambdas' zip: handlers and what they import of this package, same bytes from same sources."""

from __future__ import annotations

import ast
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import BuildError

# The oldest time a zip can hold: a real one would change the hash, and with it every Lambda, on every build.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


def build_package(checkout: Path, target: Path) -> Path:
    """Writes the zip and returns its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two plans side by side both build it; each puts its own in place, and they are the same.
    with (
        tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in sorted(find_sources(checkout)):
            entry = zipfile.ZipInfo(file.relative_to(checkout).as_posix(), _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return Path(partial.name).replace(target)


def find_sources(checkout: Path) -> set[Path]:
    """Every module under pipeline/lambdas, and of this package what they import, transitively."""
    waiting = sorted((checkout / "pipeline" / "lambdas").glob("*.py"))
    if not waiting:
        raise BuildError(f"There are no Lambda handlers in {checkout / 'pipeline' / 'lambdas'}.")
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(_find_imports(file, checkout))
    return found


def _find_imports(file: Path, checkout: Path) -> Iterator[Path]:
    """The files of the `pipeline` modules that this file imports, with the packages they stand in."""
    for name in _imported_names(ast.parse(file.read_text(), filename=str(file))):
        parts = name.split(".")
        if parts[0] != "pipeline":
            continue
        for end in range(1, len(parts) + 1):
            path = checkout.joinpath(*parts[:end])
            yield from (found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file())


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from pipeline.lambdas import runs` names a module only once the two are joined.
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
