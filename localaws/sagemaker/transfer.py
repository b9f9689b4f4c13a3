"""Data between S3 and a program's directory, with the role's permissions."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.runtime.errors import ClientFaultError

CHUNK_BYTES = 1024 * 1024


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def join_uri(uri: str, *parts: str) -> str:
    """An S3 URI with more key parts; doubled slashes do not come up."""
    return "/".join([uri.rstrip("/"), *parts])


def download_object(s3: Any, uri: str, target: Path) -> None:
    """Raises: ClientFaultError when it is missing, the role may not read it, or its key is no file's name."""
    bucket, key = split_uri(uri)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        with target.open("wb") as file:
            for chunk in body.iter_chunks(CHUNK_BYTES):
                file.write(chunk)
    except (ClientError, BotoCoreError, OSError) as error:
        raise ClientFaultError(f"Data download failed: {uri}: {error}") from error


def download_prefix(s3: Any, uri: str, target: Path) -> None:
    """Every object under a prefix, by its name below it. Raises: ClientFaultError when there is none."""
    bucket, prefix = split_uri(uri)
    keys = _list_keys(s3, bucket, prefix, uri=uri)
    if not keys:
        raise ClientFaultError(
            f'Data download failed: No S3 objects found under S3 URL "{uri}" given in input data source.'
        )
    for key in keys:
        download_object(s3, f"s3://{bucket}/{key}", inside(target, name_below(key, prefix)))


def download_manifest(s3: Any, uri: str, target: Path) -> None:
    """Every object that a manifest file names: `[{"prefix": "s3://…/"}, "a.csv", …]`."""
    manifest_file = target.with_name(f".{target.name}.manifest")
    download_object(s3, uri, manifest_file)
    try:
        entries = json.loads(manifest_file.read_bytes())
        prefix = entries[0]["prefix"]
    except (ValueError, LookupError, TypeError) as error:
        raise ClientFaultError(f"Data download failed: {uri} is not a manifest file.") from error
    manifest_file.unlink()
    for name in entries[1:]:
        download_object(s3, f"{prefix}{name}", inside(target, name))


def upload_file(s3: Any, file: Path, uri: str, *, kms_key_id: str | None) -> None:
    """Raises: ClientFaultError when the role may not write it."""
    bucket, key = split_uri(uri)
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
    try:
        with file.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body, **encryption)
    except (ClientError, BotoCoreError) as error:
        raise ClientFaultError(f"Data upload failed: {uri}: {error}") from error


def upload_directory(s3: Any, directory: Path, uri: str, *, kms_key_id: str | None) -> None:
    """Uploads every file, by its path in the directory."""
    for file in sorted(directory.rglob("*")):
        if file.is_file():
            upload_file(
                s3, file, join_uri(uri, file.relative_to(directory).as_posix()), kms_key_id=kms_key_id
            )


def list_keys(s3: Any, uri: str) -> list[str]:
    """The keys under a prefix, markers of folders left out.

    Raises: ClientFaultError when the role may not list.
    """
    bucket, prefix = split_uri(uri)
    return _list_keys(s3, bucket, prefix, uri=uri)


def _list_keys(s3: Any, bucket: str, prefix: str, *, uri: str) -> list[str]:
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    except (ClientError, BotoCoreError) as error:
        raise ClientFaultError(f"Data download failed: {uri}: {error}") from error
    return [key for key in keys if not key.endswith("/")]


def name_below(key: str, prefix: str) -> str:
    """An object's name below a prefix: `dir/a.csv` is `a.csv` below `dir`, below `dir/` and below `dir/a`."""
    below = key.removeprefix(prefix)
    if not below:
        return PurePosixPath(key).name
    if prefix.endswith("/") or below.startswith("/") or not prefix:
        return below.lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def inside(target: Path, name: str) -> Path:
    """A path below `target`. Raises: ClientFaultError when the name leads out of it."""
    path = (target / name).resolve()
    if not path.is_relative_to(target.resolve()):
        raise ClientFaultError(f"Data download failed: the name {name!r} leads out of its directory.")
    return path
