"""Layers whose bytes depend on their content alone: not on when, where or by which engine they were built.

Flow 1 (merge to main), between the engine's build and the kept image. An engine stamps what it writes with
the time of the build; here every entry gets the same one, and entries stand in the order of their paths.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.oci import LAYER_TYPE, Blob, BlobStore, Layer

# The first moment that every archive format can tell.
TIME_STAMP_S = 315_532_800
_EXTENDED_ATTRIBUTE = "SCHILY.xattr."

AddEntry = Callable[[tarfile.TarInfo, IO[bytes] | None], None]


def pack_files(store: BlobStore, files: Mapping[str, Path]) -> Layer:
    """A layer with these files, by their path inside it; of their modes only the executable bit counts."""
    output = _LayerOutput(store)
    with output.open() as add:
        for name in sorted(files):
            content = files[name].read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if files[name].stat().st_mode & 0o100 else 0o644
            add(entry, io.BytesIO(content))
    return output.layer()


def normalise_layer(store: BlobStore, tar: IO[bytes]) -> Layer:
    """The same layer with nothing left of when and where it was made. `tar` may be compressed."""
    output = _LayerOutput(store)
    with tarfile.open(fileobj=tar, mode="r:*") as source, output.open() as add:
        # A hard link stands after what it links to: the engine's order and this one both go by path.
        for entry in sorted(source, key=lambda entry: PurePosixPath(entry.name).parts):
            add(entry, source.extractfile(entry) if entry.isreg() else None)
    return output.layer()


class _LayerOutput:
    """A layer on its way into the store: hashed before and after it is compressed."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._size_bytes = 0

    @contextmanager
    def open(self) -> Iterator[AddEntry]:
        """What adds an entry; the blob is in the store when the block ends without an error."""
        # wbits: a gzip stream, whose header names neither a file nor a time. Level 6 takes twice as long for
        # 4 % fewer bytes; faster libraries than zlib do not promise the same bytes on every processor.
        packer = zlib.compressobj(level=4, wbits=31)
        with self._store.writer() as file:

            def write(data: bytes) -> None:
                self._packed.update(data)
                self._size_bytes += file.write(data)

            def pack(data: bytes) -> int:
                self._plain.update(data)
                write(packer.compress(data))
                return len(data)

            with tarfile.open(fileobj=_Writer(pack), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                yield lambda entry, content: tar.addfile(_timeless(entry), content)
            write(packer.flush())
            file.flush()
            os.replace(file.name, self._store.path(self._digest))

    @property
    def _digest(self) -> str:
        return f"sha256:{self._packed.hexdigest()}"

    def layer(self) -> Layer:
        return Layer(Blob(LAYER_TYPE, self._digest, self._size_bytes), f"sha256:{self._plain.hexdigest()}")


class _Writer(io.RawIOBase):
    """What tarfile wants to write into."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self.write = write  # type: ignore[method-assign,assignment]


def _timeless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = TIME_STAMP_S
    entry.uname = entry.gname = ""
    entry.pax_headers = {
        key: text for key, text in entry.pax_headers.items() if key.startswith(_EXTENDED_ATTRIBUTE)
    }
    return entry
