"""A training that was interrupted, as a file of numbers: finished trees, and where the random numbers stand.

Flow 2, inside training: SageMaker copies the folder to S3 while a Spot instance trains, and back to the next.
The file is numpy's npz, written and read without pickle: it can hold arrays and nothing else.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_src.errors import StoppedError
from model_src.failure import Interruption

CHECKPOINT_FILE: Final = "checkpoint.npz"
INTERVAL_S: Final = 30.0
GRACE_S: Final = 100.0  # SageMaker kills 120 s after SIGTERM
_FORMAT = 1
_HEADER = "header"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state of an estimator after `iterations`, of the training that `fingerprint` names."""

    fingerprint: str
    iterations: int
    arrays: Arrays


class Checkpoints:
    """The checkpoints of one training: one now and then, and one when it is interrupted."""

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        interruption: Interruption,
        *,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._interruption = interruption
        self._log = log
        self._clock = clock
        self._interval_s = interval_s
        self._written_s = clock()

    def resume(self) -> Checkpoint | None:
        """Where an earlier run of this training stood. From now on SIGTERM waits for the end of a stage."""
        self._interruption.postpone(GRACE_S)
        found = read_checkpoint(self._folder, self._fingerprint, log=self._log)
        if found:
            self._log(f"Training is resumed after {found.iterations} iterations.")
        return found

    def stage_done(self, iterations: int, total: int, state: Callable[[], Arrays]) -> None:
        """Writes a checkpoint if it is time to.

        Raises: StoppedError if SIGTERM has arrived and the training is not done.
        """
        written = self._clock() - self._written_s >= self._interval_s
        if written:
            self._write(iterations, state)
        self._log(f"{iterations} of {total} iterations are done.")
        if self._interruption.arrived and iterations < total:
            if not written:
                self._write(iterations, state)
            raise StoppedError(
                f"SIGTERM arrived after {iterations} of {total} iterations, which are in {self._folder}; "
                "the same job with the same checkpoints goes on there."
            )

    def _write(self, iterations: int, state: Callable[[], Arrays]) -> None:
        write_checkpoint(Checkpoint(self._fingerprint, iterations, state()), self._folder)
        self._written_s = self._clock()


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Puts the checkpoint into `folder`; whenever this is cut short, the one before it is there, whole."""
    header = {
        "format": _FORMAT,
        "fingerprint": checkpoint.fingerprint,
        "iterations": checkpoint.iterations,
    }
    part = folder / f".{CHECKPOINT_FILE}.part"
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_HEADER: _to_bytes(header)}, **checkpoint.arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / CHECKPOINT_FILE)


def read_checkpoint(folder: Path, fingerprint: str, *, log: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint in `folder` if it is of this training; else None, and the log says why not."""
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        return None
    try:
        header, arrays = _read_arrays(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        log(f"The checkpoint {file} is damaged ({error}); training begins anew.")
        return None
    if header != {"format": _FORMAT, "fingerprint": fingerprint, "iterations": header.get("iterations")}:
        log(f"The checkpoint {file} is of another training (data, settings, versions); this one begins anew.")
        return None
    return Checkpoint(fingerprint, int(header["iterations"]), arrays)


def _read_arrays(file: Path) -> tuple[Mapping[str, Any], Arrays]:
    with zipfile.ZipFile(file) as archive:
        # What was written is not compressed, so it cannot be larger in memory than on disk.
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    header = json.loads(arrays.pop(_HEADER).tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header, arrays


def _to_bytes(value: Mapping[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
