"""Images of the local ECR: found with the role of whoever runs them, read from the registry's blobs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from localaws.registry import images as records
from localaws.registry.blobs import BlobStore, Repository
from localaws.runtime.archives import extract
from localaws.runtime.errors import ClientFaultError
from localaws.schema import Members
from localaws.store import Scope

PROCESS_LABEL = "org.mlops.runtime"
_URI = re.compile(r"(?P<host>[^/]+)/(?P<name>[^@:]+)(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))?")


@dataclass(frozen=True)
class Image:
    """An image that may be pulled. `uri` is what was asked for; `pinned_uri` names its digest."""

    uri: str
    repository: Repository
    host: str
    digest: str
    config: Members
    layers: tuple[str, ...]

    @property
    def pinned_uri(self) -> str:
        return f"{self.host}/{self.repository.name}@{self.digest}"

    @property
    def runs_as_process(self) -> bool:
        labels = self.config.get("config", {}).get("Labels") or {}
        return bool(labels.get(PROCESS_LABEL) == "process")

    @property
    def entrypoint(self) -> list[str]:
        """What the image runs when it is not told."""
        config = self.config.get("config", {})
        return [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        lines = self.config.get("config", {}).get("Env") or []
        return dict(line.partition("=")[::2] for line in lines)


class Images:
    """Finds and unpacks images."""

    def __init__(self, blobs: BlobStore, *, host: str, directory: Path):
        self._blobs = blobs
        self._host = host
        self._directory = directory
        self._unpacking = threading.Lock()

    def find(self, uri: str, *, ecr: Any, scope: Scope, role_arn: str) -> Image:
        """The image, if the role may pull it. Raises: ClientFaultError otherwise, in SageMaker's words."""
        matched = _URI.fullmatch(uri)
        if matched is None or matched["host"] != self._host:
            raise ClientFaultError(f"Image {uri} is not in the registry of this account, {self._host}.")
        repository = Repository(scope, matched["name"])
        tag = matched["tag"] or "latest"
        image_id = {"imageDigest": matched["digest"]} if matched["digest"] else {"imageTag": tag}
        _check_pull(ecr, repository, image_id, role_arn=role_arn)
        manifest = records.find_manifest(repository, matched["digest"] or tag)
        if manifest is None:
            raise ClientFaultError(f"Cannot find the image {uri}.")
        parsed = self._for_this_machine(repository, manifest.parsed())
        config = json.loads(self._blob(repository, parsed["config"]["digest"]).read_bytes())
        layers = tuple(layer["digest"] for layer in parsed["layers"])
        return Image(uri, repository, self._host, manifest.digest, config, layers)

    def unpack(self, image: Image) -> Path:
        """The image's files, unpacked once and shared by every process that runs it."""
        target = self._directory / image.digest.replace(":", "-")
        with self._unpacking:
            if not target.exists():
                unpacked = target.with_suffix(".part")
                unpacked.mkdir(parents=True)
                for layer in image.layers:
                    with self._blob(image.repository, layer).open("rb") as file:
                        extract(file, unpacked, what=f"Layer {layer} of {image.uri}")
                unpacked.rename(target)
        return target

    def _for_this_machine(self, repository: Repository, manifest: Members) -> Members:
        """The manifest itself, or the one that an index names for this platform."""
        for entry in manifest.get("manifests", []):
            if entry.get("platform", {}).get("os") == "linux":
                found = records.find_manifest(repository, entry["digest"])
                if found is not None:
                    return found.parsed()
        return manifest

    def _blob(self, repository: Repository, digest: str) -> Path:
        path = self._blobs.path(repository, digest)
        if path is None:
            raise ClientFaultError(f"Blob {digest} of repository {repository.name} is gone.")
        return path


def _check_pull(ecr: Any, repository: Repository, image_id: dict[str, str], *, role_arn: str) -> None:
    try:
        ecr.get_authorization_token()
        answer = ecr.batch_get_image(repositoryName=repository.name, imageIds=[image_id])
    except ClientError as error:
        raise ClientFaultError(
            f"Cannot pull from repository {repository.name} in registry ID {repository.scope.account_id}: "
            f"{error.response['Error']['Message']}. Please check that the repository exists and that role "
            f"{role_arn} has pull permissions: ecr:GetAuthorizationToken, ecr:BatchCheckLayerAvailability, "
            "ecr:BatchGetImage, ecr:GetDownloadUrlForLayer."
        ) from error
    for failure in _failures(answer):
        raise ClientFaultError(f"Cannot find the image {image_id} in repository {repository.name}: {failure}")


def _failures(answer: Members) -> Iterator[str]:
    for failure in answer.get("failures", []):
        yield str(failure["failureReason"])
