"""Folders laid out as /opt/ml: a model to serve, a training job, and broken ones of both."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.conformance.sample import make_noise
from pipeline.errors import UsageError

if TYPE_CHECKING:
    import tarfile
else:
    # The standard library's has no filters before 3.11.4, and Debian 12's Python is older.
    from backports import tarfile

MAX_MODEL_BYTES = 20 * 1024**3
MAX_MODEL_FILES = 10_000
_NOISE_BYTES = 1024
_ADDED_CHANNEL = "conformance"


def make_serving_tree(model: Path | None, target: Path) -> Path:
    """`target` with the model, unpacked if it is an archive, in `model`. None: an empty folder."""
    folder = target / "model"
    folder.mkdir(parents=True)
    if model is None:
        return target
    if model.is_dir():
        try:
            shutil.copytree(model, folder, dirs_exist_ok=True)
        except OSError as error:
            raise UsageError(f"The model {model} cannot be copied: {error}.") from error
        return target
    try:
        with tarfile.open(model) as archive:
            _check_sizes(model, archive)
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UsageError(f"{model} is neither a folder nor a model archive: {error}.") from error
    return target


def _check_sizes(model: Path, archive: tarfile.TarFile) -> None:
    """Raises: UsageError for an archive that unpacks to more than a model, before any of it is written."""
    unpacked = 0
    for number, member in enumerate(archive, start=1):
        unpacked += member.size
        if unpacked > MAX_MODEL_BYTES or number > MAX_MODEL_FILES:
            raise UsageError(
                f"{model} unpacks to more than {MAX_MODEL_BYTES} bytes or {MAX_MODEL_FILES} files."
                " Give its folder instead."
            )


def make_training_tree(test_dir: Path, target: Path) -> Path:
    """A copy of a test folder as a job finds it: inputs as given, hyperparameters as strings, no results.

    Source: "How Amazon SageMaker AI Provides Training Information": all hyperparameters are strings.
    """
    source = test_dir / "input"
    if not (source / "data").is_dir():
        raise UsageError(f"{test_dir} has no input/data; lay it out as /opt/ml, like container/test_dir.")
    try:
        shutil.copytree(source, target / "input")
    except OSError as error:  # shutil.Error, too: a file that cannot be read, a link to nothing
        raise UsageError(f"The test folder {test_dir} cannot be copied: {error}.") from error
    for name in ("model", "output/data", "checkpoints"):
        (target / name).mkdir(parents=True)
    file = target / "input/config/hyperparameters.json"
    if file.parent.exists() and not file.parent.is_dir():
        raise UsageError(f"input/config of the test folder {test_dir} is no folder.")
    file.parent.mkdir(exist_ok=True)
    values = _read_object(file)
    for name in ("inputdataconfig.json", "resourceconfig.json"):
        _read_object(file.with_name(name))
    file.write_text(json.dumps({name: _as_string(value) for name, value in values.items()}))
    return target


def _read_object(file: Path) -> dict[str, object]:
    """What a JSON file says; nothing where there is none. Raises: UsageError if it is no JSON object."""
    if not file.exists():
        return {}
    if not file.is_file():
        raise UsageError(f"{file.name} of the test folder is no file.")
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file.name} of the test folder is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{file.name} of the test folder is no JSON object.")
    return values


def _as_string(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def add_channel(tree: Path) -> str | None:
    """Adds a channel with the files of the first one; its name, None where there is no first one."""
    channels = sorted(path for path in (tree / "input/data").iterdir() if path.is_dir())
    if not channels:
        return None
    shutil.copytree(channels[0], tree / "input/data" / _ADDED_CHANNEL)
    file = tree / "input/config/inputdataconfig.json"
    config = _read_object(file)
    described = config.get(channels[0].name, {"TrainingInputMode": "File"})
    file.write_text(json.dumps({**config, _ADDED_CHANNEL: described}))
    return _ADDED_CHANNEL


def spoil_files(folder: Path) -> int:
    """Overwrites every file with noise; how many there were."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for file in files:
        file.write_bytes(make_noise(_NOISE_BYTES))
    return len(files)


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file in the folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): _hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
