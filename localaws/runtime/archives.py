"""Tar archives in and out, with nothing written outside and bounded sizes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tarfile
else:
    # The standard library's has no filters before 3.11.4, and Debian 12's Python is older.
    from backports import tarfile

from localaws.runtime.errors import ClientFaultError

MAX_MEMBERS = 200_000
MAX_BYTES = 20 * 1024**3


def extract(file: IO[bytes], target: Path, *, what: str) -> None:
    """Unpacks an archive, compressed or not. Links out of `target`, devices and bombs are refused.

    Raises: ClientFaultError that names `what` was to be unpacked.
    """
    size_bytes = members = 0
    try:
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                members, size_bytes = members + 1, size_bytes + member.size
                if members > MAX_MEMBERS or size_bytes > MAX_BYTES:
                    raise ClientFaultError(f"{what} is too large to be unpacked.")
                archive.extract(member, target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ClientFaultError(f"{what} cannot be unpacked: {error}") from error


def pack(directory: Path, archive: IO[bytes], *, prefix: str = "", mode: Literal["w", "w:gz"] = "w") -> None:
    """Writes the contents of a directory; everything belongs to root, as in a container."""
    with tarfile.open(fileobj=archive, mode=mode) as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, arcname=f"{prefix}{path.name}", filter=_as_root)


def read_chunks(chunks: Iterable[bytes]) -> IO[bytes]:
    """A readable file over chunks that arrive one by one."""
    return _ChunkReader(chunks)  # type: ignore[return-value]


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


class _ChunkReader:
    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        end = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken
