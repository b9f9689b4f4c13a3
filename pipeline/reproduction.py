"""A run's training done again from what is recorded of it, and both models held against each other. Flow 2.

From the dataset's exact version, by its hash, and the training image, by its digest: in it are the code, the
libraries and the hyperparameters. The image is the one that this checkout built, as a commit builds the same
digest everywhere. Equal bytes of model.onnx are equal predictions. Where they differ, by another processor's
rounding for instance, the answers are compared that the training library gave to the rows in either card.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artefact import CHUNK_BYTES, parse_uri
from pipeline.conformance.containers import ContainerRuntime
from pipeline.conformance.processes import ProcessRuntime
from pipeline.conformance.program import Launch, Runtime, StartError
from pipeline.engine import find_engine, give_image
from pipeline.errors import RunError, SetupError, UsageError
from pipeline.image import open_store, read_image, repository_name
from pipeline.model_archive import CARD_FILE, MAX_BYTES, ONNX_FILE, read_members
from pipeline.oci import BlobStore, OciImage, load_image
from pipeline.settings import Settings

if TYPE_CHECKING:
    import tarfile
else:
    # The standard library's has no filters before 3.11.4, and Debian 12's Python is older.
    from backports import tarfile

TOLERANCE = 1e-6  # of an answer: a probability, or a value beside its own size
TRAIN_LIMIT_S = 7200
_SHOWN_BYTES = 2000
_ENGINE_TIMEOUT_S = 600


@dataclass(frozen=True)
class Recipe:
    """All that a run's model was made from."""

    run_id: str
    bucket: str
    key: str
    version_id: str
    dataset_sha256: str
    training_image_digest: str
    commit: str
    model_uri: str
    model_sha256: str


@dataclass(frozen=True)
class Trained:
    """A trained model: its ONNX file and its card."""

    onnx: bytes
    card: Mapping[str, Any]

    @property
    def onnx_sha256(self) -> str:
        return hashlib.sha256(self.onnx).hexdigest()


@dataclass(frozen=True)
class Comparison:
    """`largest_difference`: between the answers of both to the same rows; 0 for equal files."""

    recorded_onnx_sha256: str
    reproduced_onnx_sha256: str
    identical: bool
    rows: int
    largest_difference: float

    @property
    def equal(self) -> bool:
        """True where every prediction is the same."""
        return self.identical or self.largest_difference <= TOLERANCE


def read_recipe(run: Mapping[str, Any], *, sagemaker: Any) -> Recipe:
    """What the run's registry entry says. Raises: UsageError for a run without one."""
    arn = run.get("model_package_arn")
    if not arn:
        raise UsageError(
            f"Run {run['run_id']} is {run['status']}: it registered no model whose making is recorded. "
            "`mlops runs` lists those that came to the gate."
        )
    told = sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]
    return Recipe(
        run_id=run["run_id"],
        bucket=run["bucket"],
        key=run["key"],
        version_id=told["dataset_version_id"],
        dataset_sha256=told["dataset_sha256"],
        training_image_digest=told["training_image_digest"],
        commit=told["commit"],
        model_uri=run["model_uri"],
        model_sha256=told["model_sha256"],
    )


def fetch_dataset(recipe: Recipe, folder: Path, *, s3: Any) -> Path:
    """The dataset's exact version. Raises: RunError if its bytes are not those that were validated."""
    file = folder / "data.csv"
    body = s3.get_object(Bucket=recipe.bucket, Key=recipe.key, VersionId=recipe.version_id)["Body"]
    digest = _save(body, file)
    if digest != recipe.dataset_sha256:
        raise RunError(
            f"s3://{recipe.bucket}/{recipe.key} version {recipe.version_id} has sha256 {digest}; "
            f"run {recipe.run_id} trained on {recipe.dataset_sha256}."
        )
    return file


def fetch_model(recipe: Recipe, folder: Path, *, s3: Any) -> Trained:
    """The model that was judged. Raises: RunError if it was changed since, or is no model."""
    file = folder / "model.tar.gz"
    bucket, key = parse_uri(recipe.model_uri)
    digest = _save(s3.get_object(Bucket=bucket, Key=key)["Body"], file)
    if digest != recipe.model_sha256:
        raise RunError(
            f"{recipe.model_uri} has sha256 {digest}, but {recipe.model_sha256} was judged: "
            "it was changed afterwards."
        )
    return read_archive(file)


def read_archive(file: Path) -> Trained:
    """The two files of a model archive; nothing is unpacked. Raises: RunError when one is not there."""
    with tarfile.open(file) as archive:
        return _trained(dict(read_members(archive, MAX_BYTES)), where=str(file))


def open_image(
    settings: Settings, model: str, recipe: Recipe, folder: Path
) -> tuple[Runtime, dict[str, str]]:
    """What runs the recipe's training image, and the variables that the image sets.

    Raises: UsageError if this checkout has built another one.
    """
    built = read_image(settings, model, "training")
    if built.digest != recipe.training_image_digest:
        raise UsageError(
            f"Run {recipe.run_id} was trained by image {recipe.training_image_digest} of commit "
            f"{recipe.commit}; this checkout has built {built.digest} of {built.commit}. Check that commit "
            "out, run `mlops build` there (the same commit builds the same digest), and reproduce again."
        )
    store = open_store(settings)
    image = load_image(store, built.digest)
    config = json.loads(store.check(image.config).read_bytes())["config"]
    environment = dict(line.partition("=")[::2] for line in config.get("Env", ()))
    if built.engine == "none":
        return ProcessRuntime(_unpack(store, image, folder / "image")), environment
    engine, detail = find_engine()
    if engine is None:
        raise SetupError(
            f"No Docker engine answers ({detail}), and the image is one of an engine's. Start one."
        )
    engine.api.timeout = _ENGINE_TIMEOUT_S
    name = f"{repository_name(settings, model)}:{built.tag}"
    give_image(engine, store, image, name=name, folder=folder)
    return ContainerRuntime(engine, name), environment


def _unpack(store: BlobStore, image: OciImage, folder: Path) -> Path:
    """The files of an image that was made without an engine: programs, and nothing else."""
    folder.mkdir()
    for layer in image.layers:
        with tarfile.open(store.check(layer)) as archive:
            archive.extractall(folder, filter="data")
    return folder


def train_again(
    runtime: Runtime, dataset: Path, *, work: Path, environment: Mapping[str, str], limit_s: float
) -> Trained:
    """What the image's `train` makes of the dataset, laid out as the state machine's training job gives it.

    Raises: RunError with the reason that the program gave.
    """
    tree = work / "ml"
    (tree / "input/config").mkdir(parents=True)
    (tree / "input/data/train").mkdir(parents=True)
    for folder in ("model", "output/data", "code"):
        (tree / folder).mkdir(parents=True)
    shutil.copyfile(dataset, tree / "input/data/train/data.csv")
    channel = {
        "ContentType": "text/csv",
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    files: dict[str, object] = {
        "hyperparameters.json": {},
        "inputdataconfig.json": {"train": channel},
        "resourceconfig.json": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    for name, content in files.items():
        (tree / "input/config" / name).write_text(json.dumps(content))
    try:
        program = runtime.start(Launch("train", tree, environment=environment, offline=True))
    except StartError as error:
        raise RunError(f"The training could not be started: {error}") from error
    try:
        code = program.wait(limit_s)
        if code != 0:
            said = program.read("output/failure", max_bytes=_SHOWN_BYTES) or b""
            words = said.decode(errors="replace") or program.output(max_bytes=_SHOWN_BYTES)
            how = f"ended with exit code {code}" if code is not None else f"was not over after {limit_s:g} s"
            raise RunError(f"The training {how}: {' '.join(words.split())}")
        found = {name: program.read(f"model/{name}", max_bytes=limit) for name, limit in MAX_BYTES.items()}
        return _trained({name: content for name, content in found.items() if content}, where="/opt/ml/model")
    finally:
        program.remove()


def compare_models(recorded: Trained, reproduced: Trained) -> Comparison:
    """Both models beside each other. Raises: RunError where their cards cannot be compared."""
    identical = recorded.onnx == reproduced.onnx
    one, other = _probe(recorded), _probe(reproduced)
    if one["rows"] != other["rows"]:
        raise RunError("The two models' cards hold answers to different rows: they saw different data.")
    differences = _differences(_flat(one["answers"]), _flat(other["answers"]))
    return Comparison(
        recorded_onnx_sha256=recorded.onnx_sha256,
        reproduced_onnx_sha256=reproduced.onnx_sha256,
        identical=identical,
        rows=len(one["rows"]),
        largest_difference=max(differences, default=0.0),
    )


def check_comparison(comparison: Comparison, recipe: Recipe) -> None:
    """Raises: RunError unless the predictions are equal."""
    if not comparison.equal:
        raise RunError(
            f"Run {recipe.run_id} could not be reproduced: answers differ by up to "
            f"{comparison.largest_difference:.3g} (allowed: {TOLERANCE:g}), ONNX files "
            f"{comparison.recorded_onnx_sha256[:12]} and {comparison.reproduced_onnx_sha256[:12]}. "
            "Was it trained on another kind of processor?"
        )


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """Where all of it is kept meanwhile."""
    return tempfile.TemporaryDirectory(prefix="mlops-reproduce-")


def _save(body: Any, file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("wb") as output:
        for chunk in body.iter_chunks(CHUNK_BYTES):
            digest.update(chunk)
            output.write(chunk)
    return digest.hexdigest()


def _trained(files: Mapping[str, bytes], *, where: str) -> Trained:
    missing = [name for name in MAX_BYTES if name not in files]
    if missing:
        raise RunError(f"{where} lacks {' and '.join(missing)}.")
    return Trained(files[ONNX_FILE], json.loads(files[CARD_FILE]))


def _probe(model: Trained) -> Mapping[str, Any]:
    probe: Mapping[str, Any] | None = model.card.get("probe")
    if probe is None:
        raise RunError("The model's card holds no answers of the training library: an older image made it.")
    return probe


def _differences(recorded: list[float], reproduced: list[float]) -> list[float]:
    """Raises: RunError where an answer has nothing on the other side that it could be compared with."""
    if len(recorded) != len(reproduced):
        raise RunError(
            f"The two models' cards hold {len(recorded)} and {len(reproduced)} values for the same rows: "
            "they know different classes."
        )
    pairs = [
        (a, b)
        for a, b in zip(recorded, reproduced, strict=True)
        if a != b and not (math.isnan(a) and math.isnan(b))
    ]
    for a, b in pairs:
        if not (math.isfinite(a) and math.isfinite(b)):
            raise RunError(
                f"One model answers {a:g} where the other answers {b:g}: neither is near the other."
            )
    return [abs(a - b) / max(1.0, abs(a)) for a, b in pairs]


def _flat(answers: list[Any]) -> list[float]:
    return [
        float(value) for answer in answers for value in (answer if isinstance(answer, list) else [answer])
    ]
