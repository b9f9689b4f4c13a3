"""A trained model as files: model.onnx, and model.json with how to ask it and where it is from.

Written by training, read by evaluation (out of model.tar.gz) and by the server (out of the model folder).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_src.contract import Label, Task
from model_src.encoding import Feature
from model_src.errors import ArtefactError

ONNX_FILE: Final = "model.onnx"
CARD_FILE: Final = "model.json"

_FORMAT = 1
MAX_UNPACKED_BYTES: Final = 2 * 1024**3


@dataclass(frozen=True)
class Card:
    """What model.json says. `classes` are in the order of the probabilities; none for a regression.

    `parity` is the largest difference to scikit-learn; `origin` is for people: dataset, versions, and so on.
    """

    model: str
    task: Task
    target: str
    features: tuple[Feature, ...]
    classes: tuple[Label, ...]
    parity: float
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Artefact:
    """A model's card and its ONNX bytes."""

    card: Card
    onnx: bytes


def card_to_json(card: Card) -> bytes:
    """model.json's bytes; the same card gives the same ones."""
    value = {
        "format": _FORMAT,
        "model": card.model,
        "task": card.task,
        "target": card.target,
        "features": [feature.to_json() for feature in card.features],
        "classes": card.classes,
        "parity": card.parity,
        **card.origin,
    }
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def card_from_json(content: bytes) -> Card:
    """The card in model.json's bytes.

    Raises: ArtefactError if they are not such a card.
    """
    try:
        value = json.loads(content)
        if value["format"] != _FORMAT:
            raise ArtefactError(
                f"{CARD_FILE} has format {value['format']}; this image reads format {_FORMAT}."
            )
        own = ("format", "model", "task", "target", "features", "classes", "parity")
        return Card(
            model=str(value["model"]),
            task=value["task"],
            target=str(value["target"]),
            features=tuple(Feature.from_json(feature) for feature in value["features"]),
            classes=tuple(value["classes"]),
            parity=float(value["parity"]),
            origin={key: value[key] for key in value if key not in own},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{CARD_FILE} is not a model's card: {type(error).__name__} {error}") from error


def write_artefact(artefact: Artefact, folder: Path) -> None:
    """Both files in `folder`; the card last, so that a folder with a card is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((ONNX_FILE, artefact.onnx), (CARD_FILE, card_to_json(artefact.card))):
        part = folder / f".{name}.part"
        part.write_bytes(content)
        part.chmod(0o644)  # the server is another user
        os.replace(part, folder / name)


def read_artefact(folder: Path) -> Artefact:
    """The model in `folder`, as SageMaker unpacked it.

    Raises: ArtefactError if a file is missing or wrong.
    """
    missing = [name for name in (CARD_FILE, ONNX_FILE) if not (folder / name).is_file()]
    if missing:
        raise ArtefactError(
            f"There is no {' and no '.join(missing)} in {folder}; was this model trained by `train`?"
        )
    return Artefact(card_from_json((folder / CARD_FILE).read_bytes()), (folder / ONNX_FILE).read_bytes())


def read_archive(archive: Path, *, max_bytes: int = MAX_UNPACKED_BYTES) -> Artefact:
    """The model in a model.tar.gz, of which nothing is unpacked to disk: its two files are read to memory.

    Raises: ArtefactError for anything but an archive that holds both and unpacks to at most `max_bytes`.
    """
    wanted = (CARD_FILE, ONNX_FILE)
    files: dict[str, bytes] = {}
    try:
        with (
            gzip.open(archive) as stream,
            tarfile.open(fileobj=_Bounded(stream, max_bytes), mode="r|") as tar,
        ):
            for member in tar:
                name = member.name.removeprefix("./")
                if name in wanted and member.isreg():
                    content = tar.extractfile(member)
                    files[name] = content.read() if content else b""
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ArtefactError(f"{archive.name} is not a readable archive: {error}") from error
    if files.keys() != set(wanted):
        raise ArtefactError(f"{archive.name} holds no {' and no '.join(sorted(set(wanted) - files.keys()))}.")
    return Artefact(card_from_json(files[CARD_FILE]), files[ONNX_FILE])


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
