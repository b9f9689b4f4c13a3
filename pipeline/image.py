"""The two images of a model: built with an engine or without, pushed to ECR or another registry, by digest.

Flow 1 (merge to main): after core, before the environments. What was built is kept under build/image: the
blobs in one OCI layout, and JSON per model and target.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import docker
from botocore.exceptions import ClientError

from pipeline import engine as engines
from pipeline import sbom
from pipeline.bundle import bundle_files, list_program_files
from pipeline.engine import EngineBuild, Report, SavedImage
from pipeline.errors import BuildError
from pipeline.layers import normalise_layer
from pipeline.oci import Blob, BlobStore, Layer, OciImage, load_image, make_image, save_index
from pipeline.registry import Credentials, Repository, decode_authorization
from pipeline.settings import TARGETS, Settings, Target

# Of an image's configuration, what says how it runs; the rest is about the container that built it.
_RUN_SETTINGS = (
    *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "StopSignal", "User", "Volumes"),
    "WorkingDir",
)


@dataclass(frozen=True)
class BuiltImage:
    """`digest` is the manifest's, by which everything downstream names the image; `image_id` is the
    configuration's, by which an engine does. The same content has the same ones everywhere.
    """

    model: str
    target: Target
    engine: Literal["docker", "none"]
    image_id: str
    digest: str
    commit: str
    tag: str
    uri: str | None = None


@dataclass(frozen=True)
class BuildOptions:
    """`created` is the time that the image bears (RFC 3339): the commit's, whenever it is built."""

    commit: str
    created: str
    source: str = ""
    base_image: str | None = None
    data_input: str | None = None
    no_cache: bool = False


def read_image(settings: Settings, model: str, target: Target) -> BuiltImage:
    """The last image built of this model and target."""
    file = settings.image_file(model, target)
    if not file.is_file():
        raise BuildError(f"There is no {target} image of {model} yet. Run `mlops build` first.")
    return BuiltImage(**json.loads(file.read_text()))


def save_image(settings: Settings, image: BuiltImage) -> None:
    file = settings.image_file(image.model, image.target)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(image), indent=2) + "\n")


def image_tag(target: Target, image: OciImage, *, commit: str) -> str:
    """Names the content, so that it need never be moved."""
    return f"{target}-{commit[:12]}-{image.config.digest.removeprefix('sha256:')[:12]}"


def open_store(settings: Settings) -> BlobStore:
    return BlobStore(settings.build / "image" / "oci")


def build_image(
    settings: Settings,
    model: str,
    target: Target,
    *,
    engine: docker.DockerClient | None,
    options: BuildOptions,
    report: Report,
) -> BuiltImage:
    """Builds one image of a model, keeps it under build/image, and its bill of materials under build/sbom."""
    store = open_store(settings)
    if engine is None:
        image = _bundle(settings, model, target, options=options)
    else:
        image = _build_with_engine(engine, settings, model, target, options=options, report=report)
    tag = image_tag(target, image, commit=options.commit)
    built = BuiltImage(
        model,
        target,
        "docker" if engine else "none",
        image_id=image.config.digest,
        digest=image.manifest.digest,
        commit=options.commit,
        tag=tag,
    )
    sbom.write_sbom(
        settings.build / "sbom" / f"{model}-{target}.cdx.json",
        sbom.describe_image(
            store,
            image,
            lock=settings.checkout / "requirements" / f"{target}.txt",
            name=f"{repository_name(settings, model)}:{tag}",
            created=options.created,
        ),
    )
    save_image(settings, built)
    save_index(store, dict(_kept_images(settings, store)))
    return built


def _kept_images(settings: Settings, store: BlobStore) -> Iterator[tuple[str, OciImage]]:
    """The last image of every model and target that was built and is still there, by a name."""
    for model in settings.models:
        for target in TARGETS:
            if settings.image_file(model, target).is_file():
                image = read_image(settings, model, target)
                if image.digest and store.path(image.digest).is_file():
                    yield f"{model}-{image.tag}", load_image(store, image.digest)


def _bundle(settings: Settings, model: str, target: Target, *, options: BuildOptions) -> OciImage:
    labels = {
        "org.mlops.model": model,
        "org.mlops.target": target,
        "org.opencontainers.image.revision": options.commit,
        "org.opencontainers.image.source": options.source,
    }
    files = list_program_files(settings.checkout, settings.model_folder(model), target=target)
    return bundle_files(open_store(settings), files, labels=labels, created=options.created)


def _build_with_engine(
    engine: docker.DockerClient,
    settings: Settings,
    model: str,
    target: Target,
    *,
    options: BuildOptions,
    report: Report,
) -> OciImage:
    prepare_wheelhouse(settings, report)
    made = engines.build(engine, build_request(settings, model, target, options=options), report=report)
    store, folder = open_store(settings), settings.build / "image"
    with engines.saved_image(engine, made.image_id, folder=folder) as saved:
        image = keep_image(store, saved, created=options.created)
    name = f"{repository_name(settings, model)}:{image_tag(target, image, commit=options.commit)}"
    engines.give_image(engine, store, image, name=name, folder=folder)
    report(f"{model} {target}: {name} is in the engine")
    _sweep_engine(engine, folder, f"{model}-{target}", made=made, name=name)
    return image


def keep_image(store: BlobStore, saved: SavedImage, *, created: str) -> OciImage:
    """The engine's image with nothing left of when and where it was built."""
    layers = _keep_layers(store, saved)
    settings = {
        name: saved.config["config"][name] for name in _RUN_SETTINGS if saved.config["config"].get(name)
    }
    platform = {
        name: saved.config[name] for name in ("architecture", "os", "variant") if name in saved.config
    }
    return make_image(store, layers, config={**platform, "config": settings}, created=created)


def _keep_layers(store: BlobStore, saved: SavedImage) -> list[Layer]:
    """What was normalised by an earlier build is known by the digest that the engine has for it."""
    file = store.folder / "layers.json"
    known = _read_layers(store, file)

    def keep(diff_id: str) -> Layer:
        with saved.open_layer(diff_id) as tar:
            return normalise_layer(store, tar)

    fresh = [diff_id for diff_id in saved.layers if diff_id not in known]
    with ThreadPoolExecutor() as pool:
        known |= dict(zip(fresh, pool.map(keep, fresh), strict=True))
    file.write_text(json.dumps({diff_id: asdict(layer) for diff_id, layer in known.items()}))
    return [known[diff_id] for diff_id in saved.layers]


def _read_layers(store: BlobStore, file: Path) -> dict[str, Layer]:
    values = json.loads(file.read_text()) if file.is_file() else {}
    layers = {key: Layer(Blob(**value["blob"]), value["diff_id"]) for key, value in values.items()}
    return {key: layer for key, layer in layers.items() if store.path(layer.blob.digest).is_file()}


def _sweep_engine(
    engine: docker.DockerClient, folder: Path, image: str, *, made: EngineBuild, name: str
) -> None:
    """Takes from the engine what this checkout's earlier builds left there and no last build uses."""
    file = folder / f"{image}.engine.json"
    before = set(json.loads(file.read_text())) if file.is_file() else set()
    now = {made.image_id, *made.stage_ids, name}
    others = [other for other in folder.glob("*.engine.json") if other != file]
    needed = now.union(*(json.loads(other.read_text()) for other in others))
    used = engines.remove_images(engine, sorted(before - needed))
    file.write_text(json.dumps(sorted({*now, *used})))


def build_request(settings: Settings, model: str, target: Target, *, options: BuildOptions) -> dict[str, Any]:
    """The call to the engine. The network is off: wheels come from the wheelhouse in the context."""
    arguments = {
        "MODEL_FOLDER_NAME": model,
        "COMMIT": options.commit,
        "SOURCE": options.source,
        "BASE_IMAGE": options.base_image,
        "DATA_INPUT": options.data_input,
    }
    return {
        "path": str(settings.checkout),
        "dockerfile": "container/Dockerfile",
        "target": target,
        "buildargs": {name: value for name, value in arguments.items() if value},
        "network_mode": "none",
        "nocache": options.no_cache,
        "rm": True,
        "forcerm": True,
        "decode": True,
    }


def prepare_wheelhouse(settings: Settings, report: Report) -> None:
    """Downloads the images' wheels on the host, unless those of this lock are there."""
    script = settings.checkout / "scripts" / "setup.py"
    done = subprocess.run([sys.executable, str(script), "wheelhouse"], capture_output=True, text=True)
    if done.returncode != 0:
        problem = done.stderr.strip() or done.stdout.strip()
        raise BuildError(f"The wheels of the image cannot be had: {problem}")
    for line in done.stdout.splitlines():
        report(line)


def push_image(
    settings: Settings, image: BuiltImage, *, repository: Repository, report: Report
) -> BuiltImage:
    """Pushes what was kept under an immutable tag; content that is there already is not sent again."""
    repository.log_in()
    stored = repository.find(image.tag)
    if stored and stored.digest != image.digest:
        raise BuildError(f"{repository.uri}:{image.tag} has other content. Tags are immutable: build anew.")
    if stored:
        report(f"{image.model} {image.target}: {repository.uri}:{image.tag} is there already")
    else:
        _push_kept(open_store(settings), image, repository)
    pushed = replace(image, uri=f"{repository.uri}@{image.digest}")
    save_image(settings, pushed)
    return pushed


def _push_kept(store: BlobStore, image: BuiltImage, repository: Repository) -> None:
    kept = load_image(store, image.digest)
    for blob in (*kept.layers, kept.config):
        repository.push_blob(store.check(blob), blob.digest)
    repository.push_manifest(store.check(kept.manifest).read_bytes(), tag=image.tag)


def open_ecr(ecr: Any, name: str, *, create: bool, ca_bundle: str | None) -> Repository:
    """The ECR repository, logged in with this caller's own token."""
    try:
        uri = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise
        if not create:
            raise BuildError(
                f"There is no ECR repository {name}. Apply core first (`mlops apply core`) "
                "or add --create-repository where Terraform does not manage it."
            ) from error
        uri = ecr.create_repository(**repository_request(name))["repository"]["repositoryUri"]
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    host, _, path = uri.partition("/")
    return Repository(host, path, credentials=decode_authorization(token), ca_bundle=ca_bundle)


def repository_request(name: str) -> dict[str, Any]:
    """An ECR repository as safe as the one that Terraform makes."""
    return {
        "repositoryName": name,
        "imageTagMutability": "IMMUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "KMS"},
    }


def open_private(address: str, environ: Mapping[str, str]) -> Repository:
    """A repository given as HOST/NAME; its user and password come from the environment."""
    host, _, name = address.partition("/")
    if not name:
        raise BuildError(f"--registry wants HOST/NAME, not {address!r}.")
    username, password = environ.get("MLOPS_REGISTRY_USERNAME"), environ.get("MLOPS_REGISTRY_PASSWORD")
    credentials = Credentials(username, password) if username and password else None
    return Repository(host, name, credentials=credentials)


def repository_name(settings: Settings, model: str) -> str:
    """The name that iac/modules/names gives; pushing also works where no Terraform state can be read."""
    return f"{settings.project}-{model}"
