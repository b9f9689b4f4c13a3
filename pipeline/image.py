"""The model image: built with a container engine or without, pushed to ECR or another registry, by digest.

Flow 1 (merge to main): after core, before the environments. What was built is kept as JSON per model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import docker
from botocore.exceptions import ClientError
from docker.errors import DockerException

from pipeline.errors import BuildError, SetupError
from pipeline.oci import OciImage, list_program_files, load_layout, make_image, save_layout
from pipeline.registry import Credentials, Repository, decode_authorization
from pipeline.settings import Settings, Target

Engine = Literal["docker", "none"]
EngineChoice = Literal["auto", "docker", "none"]
Report = Callable[[str], None]


@dataclass(frozen=True)
class BuiltImage:
    """`image_id` is the digest of the image's configuration: the same content has the same one everywhere."""

    model: str
    target: Target
    engine: Engine
    image_id: str
    commit: str
    tag: str
    uri: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class BuildOptions:
    commit: str
    base_image: str | None = None
    data_input: str | None = None


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


def find_engine(timeout_s: int = 3) -> tuple[docker.DockerClient | None, str]:
    """A client of the engine that answers and its version, or None and why not."""
    try:
        client = docker.from_env(timeout=timeout_s)
        version = client.version()
    except (DockerException, OSError) as error:
        return None, str(error)
    # Debian's engine has no name of its own, and other engines have no platform.
    name = version.get("Platform", {}).get("Name") or "Docker Engine"
    return client, f"{name} {version['Version']}"


def choose_engine(choice: EngineChoice) -> docker.DockerClient | None:
    """The engine to build with, None for none. Raises: SetupError when one is demanded and none answers."""
    if choice == "none":
        return None
    client, detail = find_engine()
    if client is None and choice == "docker":
        raise SetupError(
            f"No Docker engine answers ({detail}). Start one, or build with --engine none: "
            "the same programs then run as plain processes."
        )
    return client


def build_image(
    settings: Settings,
    model: str,
    target: Target,
    *,
    engine: docker.DockerClient | None,
    options: BuildOptions,
    report: Report,
) -> BuiltImage:
    """Builds one image of a model and keeps what it is in build/image/<model>-<target>.json."""
    if engine is None:
        image = _bundle_image(settings, model, target, commit=options.commit)
        save_layout(image, _layout_folder(settings, model, target))
        built = _describe(model, target, engine="none", image_id=image.config.digest, commit=options.commit)
    else:
        prepare_wheelhouse(settings, report)
        stream = _stream_build(engine, build_request(settings, model, target, options=options))
        image_id = read_build_stream(stream, report=report)
        built = _describe(model, target, engine="docker", image_id=image_id, commit=options.commit)
    save_image(settings, built)
    return built


def _layout_folder(settings: Settings, model: str, target: Target) -> Path:
    return settings.build / "image" / f"{model}-{target}.oci"


def _bundle_image(settings: Settings, model: str, target: Target, *, commit: str) -> OciImage:
    files = list_program_files(settings.checkout, settings.model_folder(model), target=target)
    labels = {"org.mlops.model": model, "org.mlops.target": target}
    return make_image(files, labels={**labels, "org.opencontainers.image.revision": commit})


def _describe(model: str, target: Target, *, engine: Engine, image_id: str, commit: str) -> BuiltImage:
    content = image_id.removeprefix("sha256:")[:12]
    return BuiltImage(model, target, engine, image_id, commit, tag=f"{target}-{commit[:12]}-{content}")


def build_request(settings: Settings, model: str, target: Target, *, options: BuildOptions) -> dict[str, Any]:
    """The call to the engine. The network is off: wheels come from the wheelhouse in the context."""
    arguments = {
        "MODEL_FOLDER_NAME": model,
        "COMMIT": options.commit,
        "BASE_IMAGE": options.base_image,
        "DATA_INPUT": options.data_input,
    }
    return {
        "path": str(settings.checkout),
        "dockerfile": "container/Dockerfile",
        "target": target,
        "buildargs": {name: value for name, value in arguments.items() if value},
        "network_mode": "none",
        "rm": True,
        "forcerm": True,
        "decode": True,
    }


def _stream_build(engine: docker.DockerClient, request: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    # The engine sends nothing while a layer is being unpacked; the client's own time-out is for detection.
    engine.api.timeout = 1800
    try:
        yield from engine.api.build(**request)
    except (DockerException, OSError) as error:
        raise BuildError(f"The engine does not build: {error}") from error


def read_build_stream(stream: Iterable[Mapping[str, Any]], *, report: Report) -> str:
    """The id of the built image. Raises: BuildError naming the step, with the end of its output."""
    step, output, image_id = "the first step", [""], ""
    for line in stream:
        text = str(line.get("stream", "")).strip()
        if text.startswith("Step "):
            step, output = text, []
            report(text)
        elif text:
            output.append(text)
        if "error" in line:
            tail = " ".join(output[-3:])
            problem = f"{str(line['error']).strip()} {tail}".strip()
            raise BuildError(f"The image build failed in {step!r}: {problem}")
        image_id = str(line.get("aux", {}).get("ID", image_id))
    if not image_id:
        raise BuildError(f"The image build ended without an image, after {step!r}.")
    return image_id


def prepare_wheelhouse(settings: Settings, report: Report) -> None:
    """Downloads the image's wheels on the host, unless those of this lock are there."""
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
    """Pushes under an immutable tag and keeps the digest; content that is there already is not sent again."""
    repository.log_in()
    stored = repository.find(image.tag)
    if stored and image.image_id not in {stored.config_digest, stored.digest}:
        raise BuildError(f"{repository.uri}:{image.tag} has other content. Tags are immutable: build anew.")
    if stored:
        digest = stored.digest
        report(f"{image.model} {image.target}: {repository.uri}:{image.tag} is there already")
    elif image.engine == "docker":
        digest = _push_with_engine(image, repository)
    else:
        digest = _push_layout(
            load_layout(_layout_folder(settings, image.model, image.target)), image, repository
        )
    pushed = replace(image, uri=f"{repository.uri}@{digest}", digest=digest)
    save_image(settings, pushed)
    return pushed


def _push_layout(kept: OciImage, image: BuiltImage, repository: Repository) -> str:
    for blob in (kept.layer, kept.config):
        repository.push_blob(blob.content, blob.digest)
    repository.push_manifest(kept.manifest.content, tag=image.tag)
    return kept.manifest.digest


def _push_with_engine(image: BuiltImage, repository: Repository) -> str:
    engine = choose_engine("docker")
    assert engine is not None  # noqa: S101 - choose_engine raises where there is none
    engine.api.timeout = 600
    try:
        engine.images.get(image.image_id).tag(repository.uri, tag=image.tag)
        login = repository.credentials
        stream = engine.images.push(
            repository.uri,
            tag=image.tag,
            # None lets the engine use its own logins.
            auth_config={"username": login.username, "password": login.password} if login else None,
            stream=True,
            decode=True,
        )
        return read_push_stream(stream, where=f"{repository.uri}:{image.tag}")
    except (DockerException, OSError) as error:
        raise BuildError(f"The engine cannot push {image.model}: {error}") from error


def read_push_stream(stream: Iterable[Mapping[str, Any]], *, where: str) -> str:
    """The digest that the registry gave. Raises: BuildError with the registry's own words."""
    digest = ""
    for line in stream:
        if "error" in line:
            raise BuildError(f"Could not push {where}: {line['error']}")
        digest = str(line.get("aux", {}).get("Digest", digest))
    if not digest:
        raise BuildError(f"The engine pushed {where} and named no digest.")
    return digest


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
