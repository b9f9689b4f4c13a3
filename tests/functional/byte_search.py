"""Looks for byte strings in files, and in what is packed in them: zip, gzip and tar, in each other."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_DEPTH = 4


def find_markers(named: Iterable[tuple[str, bytes]], markers: Mapping[str, bytes]) -> list[str]:
    """ "<place>: <marker's name>" for every marker that is somewhere."""
    return [
        f"{place}: {name}"
        for place, content in named
        for inner, text in unpack(place, content)
        for name, marker in markers.items()
        if marker in text
        for place in [inner]
    ]


def unpack(place: str, content: bytes, depth: int = _DEPTH) -> Iterator[tuple[str, bytes]]:
    """The bytes as they are, and those of everything packed in them."""
    yield place, content
    if depth:
        for name, part in _members(content):
            yield from unpack(f"{place}!{name}", part, depth - 1)


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"\x1f\x8b"):
        try:
            yield "gz", gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return  # its first two bytes only look like gzip's; they were searched as they are
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
    elif content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    yield member.name, file.read()


def read_folder(folder: Path, *, without: Iterable[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, but for those below `without`."""
    left_out = tuple(without)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not any(path.is_relative_to(one) for one in left_out):
            yield str(path.relative_to(folder)), path.read_bytes()
