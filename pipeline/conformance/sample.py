"""The request that is known to be good, and bodies made from it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError

_TYPES = {".csv": "text/csv", ".json": "application/json", ".jsonl": "application/jsonlines"}
_LINES = ("text/csv", "application/jsonlines")


@dataclass(frozen=True)
class Sample:
    body: bytes
    content_type: str

    @property
    def _kind(self) -> str:
        return self.content_type.split(";")[0].strip().lower()

    def padded(self, size_bytes: int) -> bytes | None:
        """The same request in exactly so many bytes, padded with blanks; None where no padding is known."""
        filler = {"application/json": b" ", **dict.fromkeys(_LINES, b"\n")}.get(self._kind)
        return self.body.ljust(size_bytes, filler) if filler else None

    def filled(self, size_bytes: int) -> bytes | None:
        """As many of its rows as fit into so many bytes, padded; None where no padding is known."""
        once = len(self.repeated(1))
        row_bytes = len(self.repeated(2)) - once
        times = 1 + (size_bytes - once) // row_bytes if row_bytes else 1
        return Sample(self.repeated(max(1, times)), self.content_type).padded(size_bytes)

    def repeated(self, times: int) -> bytes:
        """The request with its rows so many times over; the request itself where rows are not known."""
        if self._kind in _LINES:
            last = self.body.rstrip(b"\r\n").rsplit(b"\n", 1)[-1]
            return self.body.rstrip(b"\r\n") + b"\n" + (last + b"\n") * (times - 1)
        if self._kind == "application/json":
            value = json.loads(self.body)
            if isinstance(value, list):
                return json.dumps(value * times).encode()
            if isinstance(value, dict) and len(value) == 1:
                ((name, rows),) = value.items()
                return json.dumps({name: rows * times}).encode() if isinstance(rows, list) else self.body
        return self.body


def read_sample(file: Path, content_type: str | None) -> Sample:
    """The request in a file; its type is told or follows from the suffix."""
    found = content_type or _TYPES.get(file.suffix)
    if found is None:
        raise UsageError(f"What type is {file}? Give --content-type.")
    if not (found.isascii() and found.isprintable() and found.strip()):
        raise UsageError(f"--content-type {found!r} is no value of a header: write visible ASCII characters.")
    try:
        sample = Sample(file.read_bytes(), found)
        sample.repeated(2)
    except OSError as error:
        raise UsageError(f"The payload {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"The payload {file} is not JSON: {error}.") from error
    except RecursionError as error:
        raise UsageError(f"The payload {file} is nested too deep to be read.") from error
    if not sample.body.strip():
        raise UsageError(f"The payload {file} is empty.")
    return sample


def make_noise(size_bytes: int) -> bytes:
    """Bytes that are neither text nor any format, the same every time."""
    return bytes([0xFF, 0xFE, 0x00]) + random.Random(size_bytes).randbytes(size_bytes)  # noqa: S311 - noise
