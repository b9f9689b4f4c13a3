"""Image records as ministack's ECR keeps them, so that what is pushed is what DescribeImages shows."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import ecr

from localaws.errors import AwsError
from localaws.registry.blobs import BlobStore, Repository
from localaws.schema import Members

DEFAULT_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_REFERENCE = re.compile(r"\w[\w.-]{0,127}|sha256:[0-9a-f]{64}", re.ASCII)


class ManifestError(Exception):
    """A manifest that is refused, with the code of the distribution protocol."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was pushed."""

    digest: str
    content: bytes
    media_type: str

    def parsed(self) -> Members:
        return dict(json.loads(self.content))


def exists(repository: Repository) -> bool:
    with _scope(repository):
        return repository.name in ecr._repositories


def find_manifest(repository: Repository, reference: str) -> Manifest | None:
    """The manifest of a tag or digest, or None."""
    with _scope(repository):
        for image in ecr._images.get(repository.name, []):
            if reference == image["imageDigest"] or reference in image["imageTags"]:
                media_type = image.get("imageManifestMediaType", DEFAULT_MEDIA_TYPE)
                return Manifest(image["imageDigest"], image["imageManifest"].encode(), media_type)
    return None


def tags(repository: Repository) -> list[str]:
    with _scope(repository):
        return sorted(tag for image in ecr._images.get(repository.name, []) for tag in image["imageTags"])


def put_manifest(
    blobs: BlobStore, repository: Repository, reference: str, *, content: bytes, media_type: str
) -> str:
    """The digest of the stored manifest.

    Raises: ManifestError when it is no manifest, names blobs or images that were not pushed, contradicts the
    digest it is pushed as, is pushed as what is no tag, or moves an immutable one.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ManifestError("TAG_INVALID", f"'{reference}' is no tag and no digest.")
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if reference.startswith("sha256:") and reference != digest:
        raise ManifestError("DIGEST_INVALID", f"The manifest has digest {digest}, not {reference}.")
    manifest = _parse(content)
    size_bytes = _image_size_bytes(blobs, repository, manifest)
    _require_images(repository, manifest)
    tag = None if reference.startswith("sha256:") else reference
    with _scope(repository):
        images = ecr._images.setdefault(repository.name, [])
        _move_tag(repository, images, tag, digest)
        image = next((image for image in images if image["imageDigest"] == digest), None)
        if image is None:
            image = _record(repository, digest, content=content, media_type=media_type, size_bytes=size_bytes)
            images.append(image)
        if tag and tag not in image["imageTags"]:
            image["imageTags"].append(tag)
            image["imageId"]["imageTag"] = tag
    return digest


def delete_manifest(repository: Repository, digest: str) -> bool:
    with _scope(repository):
        images = ecr._images.get(repository.name, [])
        kept = [image for image in images if image["imageDigest"] != digest]
        ecr._images[repository.name] = kept
    return len(kept) < len(images)


def describe_images(params: Members) -> Members:
    """DescribeImages for the current request."""
    name = params["repositoryName"]
    if name not in ecr._repositories:
        raise AwsError(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id "
            f"'{ecr._registry_id()}'",
        )
    images = list(ecr._images.get(name, []))
    if params.get("imageIds"):
        images = [_find(name, images, image_id) for image_id in params["imageIds"]]
    status = params.get("filter", {}).get("tagStatus", "ANY")
    chosen = [
        image for image in images if status == "ANY" or bool(image["imageTags"]) == (status == "TAGGED")
    ]
    return {"imageDetails": [_detail(image) for image in chosen]}


def _find(name: str, images: list[Members], image_id: Members) -> Members:
    for image in images:
        if image_id.get("imageDigest", image["imageDigest"]) != image["imageDigest"]:
            continue
        if "imageTag" not in image_id or image_id["imageTag"] in image["imageTags"]:
            return image
    wanted = {
        "imageDigest": image_id.get("imageDigest", "null"),
        "imageTag": image_id.get("imageTag", "null"),
    }
    words = ", ".join(f"{member}:'{value}'" for member, value in wanted.items())
    raise AwsError(
        "ImageNotFoundException",
        f"The image with imageId {{{words}}} does not exist within the repository with name '{name}' in the "
        f"registry with id '{ecr._registry_id()}'",
    )


def _detail(image: Members) -> Members:
    detail = {
        "registryId": image["registryId"],
        "repositoryName": image["repositoryName"],
        "imageDigest": image["imageDigest"],
        "imageSizeInBytes": image.get("imageSizeInBytes", len(image["imageManifest"])),
        "imagePushedAt": image["imagePushedAt"],
        "imageManifestMediaType": image["imageManifestMediaType"],
        "artifactMediaType": image.get("artifactMediaType", image["imageManifestMediaType"]),
    }
    return {**detail, "imageTags": image["imageTags"]} if image["imageTags"] else detail


def _record(
    repository: Repository, digest: str, *, content: bytes, media_type: str, size_bytes: int
) -> Members:
    manifest = json.loads(content)
    return {
        "registryId": repository.scope.account_id,
        "repositoryName": repository.name,
        "imageId": {"imageDigest": digest},
        "imageManifest": content.decode(),
        "imageManifestMediaType": media_type,
        "artifactMediaType": manifest.get("config", {}).get("mediaType", media_type),
        "imageTags": [],
        "imagePushedAt": int(time.time()),
        "imageDigest": digest,
        "imageSizeInBytes": size_bytes,
    }


def _parse(content: bytes) -> Members:
    try:
        manifest = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ManifestError("MANIFEST_INVALID", f"The manifest is not JSON: {error}") from error
    if not _is_manifest(manifest):
        raise ManifestError("MANIFEST_INVALID", "The manifest is neither an image's nor an index's.")
    return dict(manifest)


def _is_manifest(value: Any) -> bool:
    """Whether it names what an image (config and layers) or an index (manifests) must name."""
    if not isinstance(value, dict):
        return False
    is_image = "layers" in value
    if is_image != ("config" in value) or is_image == ("manifests" in value):
        return False
    parts = value["layers"] if is_image else value["manifests"]
    if not isinstance(parts, list):
        return False
    named = [value["config"], *parts] if is_image else parts
    return all(isinstance(part, dict) and isinstance(part.get("digest"), str) for part in named)


def _require_images(repository: Repository, manifest: Members) -> None:
    for part in manifest.get("manifests", []):
        if find_manifest(repository, part["digest"]) is None:
            raise ManifestError("MANIFEST_BLOB_UNKNOWN", f"The image {part['digest']} was not pushed.")


def _image_size_bytes(blobs: BlobStore, repository: Repository, manifest: Members) -> int:
    parts: list[dict[str, Any]] = [*manifest.get("layers", [])]
    if "config" in manifest:
        parts.append(manifest["config"])
    sizes = {part["digest"]: blobs.size_bytes(repository, part["digest"]) for part in parts}
    missing = [digest for digest, size in sizes.items() if size is None]
    if missing:
        raise ManifestError("MANIFEST_BLOB_UNKNOWN", f"Blobs were not pushed: {', '.join(missing)}")
    return sum(size or 0 for size in sizes.values())


def _move_tag(repository: Repository, images: list[Members], tag: str | None, digest: str) -> None:
    holder = next((image for image in images if tag in image["imageTags"]), None)
    if tag is None or holder is None or holder["imageDigest"] == digest:
        return
    if ecr._repositories[repository.name].get("imageTagMutability", "MUTABLE").startswith("IMMUTABLE"):
        raise ManifestError(
            "TAG_INVALID",
            f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be "
            "overwritten because the repository is immutable.",
        )
    holder["imageTags"].remove(tag)
    holder["imageId"].pop("imageTag", None)


def _scope(repository: Repository) -> Any:
    return request_scope(repository.scope.account_id, repository.scope.region)
