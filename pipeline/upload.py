"""A dataset into the watched bucket by an ordinary S3 put. Flow 2, first step; all else follows by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artefact import Version
from pipeline.errors import UsageError
from pipeline.names import ModelNames, PipelineNames
from pipeline.runs_table import run_id


@dataclass(frozen=True)
class Uploaded:
    run_id: str
    bucket: str
    key: str
    version_id: str


def dataset_key(names: PipelineNames, model: str, file: Path) -> tuple[str, str]:
    """Bucket and key for this file. Raises: UsageError where nothing is retrained."""
    own: ModelNames = names.model(model)
    if names.data_bucket is None or own.dataset_prefix is None:
        raise UsageError(f"{names.environment} takes no datasets; it serves what another one trained.")
    if not file.is_file():
        raise UsageError(f"There is no file {file}.")
    return names.data_bucket, f"{own.dataset_prefix}{file.name}"


def upload_dataset(s3: Any, file: Path, *, model: str, bucket: str, key: str) -> Uploaded:
    """The version that was stored, and the run that it starts."""
    with file.open("rb") as body:
        answer = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/csv")
    version = Version(bucket, key, answer["VersionId"])
    return Uploaded(run_id(model, version), version.bucket, version.key, version.version_id)
