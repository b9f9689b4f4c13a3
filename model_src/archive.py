"""A training job's model.tar.gz, read without unpacking anything to disk.

Evaluation reads candidates with it. A candidate's archive may be anybody's, so nothing in it is believed.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from model_src.artefact import CARD_FILE, MAX_CARD_BYTES, ONNX_FILE, Artefact, card_from_json, refuse_pickles
from model_src.errors import ArtefactError

MAX_UNPACKED_BYTES: Final = 2 * 1024**3
MAX_MEMBERS: Final = 1000
_MAX_NAME_BYTES = 64 * 1024
_NAME_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def read_archive(archive: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> Artefact:
    """The model in a model.tar.gz, whose two files are read to memory.

    Raises: ArtefactError for anything but an archive of plain files that holds both and unpacks to at most
    `max_bytes`.
    """
    try:
        files = _read_members(archive, max_bytes)
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise ArtefactError(f"{archive.name} is not a readable archive: {error}") from error
    missing = sorted({CARD_FILE, ONNX_FILE} - files.keys())
    if missing:
        raise ArtefactError(f"{archive.name} holds no {' and no '.join(missing)}.")
    return Artefact(card_from_json(files[CARD_FILE]), files[ONNX_FILE])


def _read_members(archive: Path, max_bytes: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with (
        gzip.open(archive) as stream,
        tarfile.open(fileobj=_Bounded(stream, max_bytes), mode="r|", tarinfo=_Member) as tar,
    ):
        for number, member in enumerate(tar, start=1):
            _check_member(archive.name, number, member)
            name = str(PurePosixPath(member.name))
            if member.isdir() or name not in (CARD_FILE, ONNX_FILE):
                continue
            if name in files:
                raise ArtefactError(f"{archive.name} holds {name} twice.")
            if name == CARD_FILE and member.size > MAX_CARD_BYTES:
                raise ArtefactError(f"{name} in {archive.name} has {member.size} bytes; no card has.")
            content = tar.extractfile(member)
            files[name] = content.read() if content else b""
    return files


def _check_member(archive: str, number: int, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if number > MAX_MEMBERS:
        raise ArtefactError(f"{archive} holds more than {MAX_MEMBERS} files.")
    if path.is_absolute() or ".." in path.parts:
        raise ArtefactError(f"{archive} holds {member.name[:200]!r}, a path that leads out of it.")
    # A sparse file may claim any size and hold nothing.
    if not (member.isdir() or member.isreg()) or member.issparse():
        raise ArtefactError(f"{archive} holds {member.name[:200]!r}, which is no plain file.")
    refuse_pickles([member.name], where=archive)


class _Member(tarfile.TarInfo):
    """A member whose name and attributes have an ordinary length: they are read whole, to memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _NAME_TYPES and member.size > _MAX_NAME_BYTES:
            raise ArtefactError(f"The archive holds a name or attributes of {member.size} bytes.")
        return member


class _Bounded(io.BufferedIOBase):
    """A stream that ends in an error where an honest archive would have ended long before."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._left = max_bytes

    def read(self, size: int | None = -1) -> bytes:
        content = self._stream.read(self._left + 1 if size is None or size < 0 else size)
        self._left -= len(content)
        if self._left < 0:
            raise OSError(f"it unpacks to more than {self._max_bytes} bytes")
        return content
