"""A trained model as files: model.onnx, and model.json with how to ask it and where it is from.

Written by training, read by evaluation (see archive.py) and by the server (out of the model folder).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import orjson

from model_src.contract import Label, Task
from model_src.encoding import Feature, refuse_duplicates
from model_src.errors import ArtefactError

ONNX_FILE: Final = "model.onnx"
CARD_FILE: Final = "model.json"

_FORMAT = 1
MAX_CARD_BYTES: Final = 16 * 1024**2
MAX_ONNX_BYTES: Final = 2 * 1024**3  # what one file of protobuf, and so of ONNX, can hold
# Files that run code when their own libraries load them, or that only such libraries read.
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".sav", ".npy", ".npz", ".pt", ".pth", ".h5", ".keras")
_MAGIC = {
    b"\x80": "a pickle",
    b"\x93NUMPY": "a numpy array",
    b"PK\x03\x04": "a zip file (npz, torch)",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed",
}


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
        value = orjson.loads(content)  # takes no NaN, and no half of a character
        if value["format"] != _FORMAT:
            raise ArtefactError(
                f"{CARD_FILE} has format {value['format']}; this image reads format {_FORMAT}."
            )
        own = ("format", "model", "task", "target", "features", "classes", "parity")
        card = Card(
            model=str(value["model"]),
            task=value["task"],
            target=str(value["target"]),
            features=tuple(Feature.from_json(feature) for feature in value["features"]),
            classes=tuple(value["classes"]),
            parity=float(value["parity"]),
            origin={key: value[key] for key in value if key not in own},
        )
        _check_card(card)
        return card
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"{CARD_FILE} is not a model's card: {type(error).__name__} {error}") from error


def _check_card(card: Card) -> None:
    if card.task not in get_args(Task):
        raise ValueError(f"the task is {card.task!r}")
    if not card.features:
        raise ValueError("there are no features")
    refuse_duplicates([feature.name for feature in card.features], kinds=(str,), what="the features' names")
    refuse_duplicates(card.classes, kinds=(str, int), what="the classes")
    if bool(card.classes) != (card.task == "classification"):
        raise ValueError(f"a {card.task} with {len(card.classes)} classes")


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

    Raises: ArtefactError if a file is missing or wrong, or one is there that no model of this image has.
    """
    inside = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    refuse_pickles((str(file.relative_to(folder)) for file in inside), where=str(folder))
    missing = [name for name in (CARD_FILE, ONNX_FILE) if not (folder / name).is_file()]
    if missing:
        packed = next(folder.glob("*.tar.gz"), None)
        advice = f"unpack {packed.name} first" if packed else "was this model trained by `train`?"
        raise ArtefactError(f"There is no {' and no '.join(missing)} in {folder}; {advice}")
    for name, limit in ((CARD_FILE, MAX_CARD_BYTES), (ONNX_FILE, MAX_ONNX_BYTES)):
        if (folder / name).stat().st_size > limit:
            raise ArtefactError(f"{folder / name} is larger than {limit} bytes, the limit of such a file.")
    return Artefact(card_from_json((folder / CARD_FILE).read_bytes()), (folder / ONNX_FILE).read_bytes())


def refuse_pickles(names: Iterable[str], *, where: str) -> None:
    """Nothing, unless one of the names is of a kind of file that is never loaded here.

    Raises: ArtefactError.
    """
    for name in sorted(names):
        if name.lower().endswith(_PICKLES):
            raise ArtefactError(
                f"{where} holds {name[:200]}: pickles and arrays are never loaded. Export the model to ONNX."
            )


def check_magic(onnx: bytes) -> None:
    """Nothing, unless the bytes begin as some other kind of file does.

    Raises: ArtefactError that names it.
    """
    for magic, kind in _MAGIC.items():
        if onnx.startswith(magic):
            raise ArtefactError(f"{ONNX_FILE} is {kind}, not an ONNX model; it was not read further.")
