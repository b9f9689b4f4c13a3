"""Objects in S3 by address: read, hashed and copied as one exact version.

Flow: dataset upload and approval; every Lambda that touches a dataset, a model or an evaluation.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UsageError

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Version:
    """One version of one object."""

    bucket: str
    key: str
    version_id: str


@dataclass(frozen=True)
class HashedVersion:
    """A version with the sha256 of exactly its bytes."""

    version: Version
    sha256: str


def parse_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc or len(parts.path) < 2:
        raise UsageError(f"{uri} is not the address of an object in S3 (s3://bucket/key).")
    return parts.netloc, parts.path.removeprefix("/")


def read_json(uri: str, *, s3: Any) -> tuple[dict[str, Any], str]:
    """The JSON object at this address, with the sha256 of its bytes."""
    bucket, key = parse_uri(uri)
    content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return json.loads(content), hashlib.sha256(content).hexdigest()


def hash_latest(uri: str, *, s3: Any) -> HashedVersion:
    """The current version of an object, hashed as a stream. Raises: UsageError without versioning."""
    bucket, key = parse_uri(uri)
    answer = s3.get_object(Bucket=bucket, Key=key)
    version_id = answer.get("VersionId")
    if not version_id:
        raise UsageError(
            f"Bucket {bucket} keeps no versions, so {uri} could change unseen. Turn versioning on."
        )
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
        digest.update(chunk)
    return HashedVersion(version=Version(bucket, key, version_id), sha256=digest.hexdigest())


def copy_version(version: Version, *, bucket: str, key: str, s3: Any) -> str:
    """The address of a copy of exactly this version, made inside S3, in parts where it is large."""
    s3.copy(
        {"Bucket": version.bucket, "Key": version.key, "VersionId": version.version_id},
        bucket,
        key,
        # Tags and metadata are the uploader's; the copy is the pipeline's own and takes none of them.
        ExtraArgs={"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"},
    )
    return f"s3://{bucket}/{key}"
