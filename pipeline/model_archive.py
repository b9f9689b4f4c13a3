"""What a trainer left in a model.tar.gz: its ONNX file and its card. Flow 2, from outside."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import tarfile

ONNX_FILE: Final = "model.onnx"
CARD_FILE: Final = "model.json"
MAX_BYTES: Final = {ONNX_FILE: 2 << 30, CARD_FILE: 16 << 20}


def read_members(archive: tarfile.TarFile, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each wanted file, as they come; one that is too big is passed over."""
    for member in archive:
        name = member.name.removeprefix("./")
        # Only of a file: a link cannot be followed in a stream.
        if name in wanted and member.isreg() and member.size <= MAX_BYTES[name]:
            content = archive.extractfile(member)
            yield name, content.read() if content else b""
