"""Asking an endpoint as any client would: boto3's sagemaker-runtime and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import RunError, UsageError

CONTENT_TYPES = {".csv": "text/csv", ".json": "application/json"}


def invoke_request(endpoint: str, body: bytes, *, content_type: str) -> dict[str, Any]:
    return {
        "EndpointName": endpoint,
        "ContentType": content_type,
        "Accept": "application/json",
        "Body": body,
    }


def read_body(file: Path) -> tuple[bytes, str]:
    """The file's bytes and content type."""
    if file.suffix not in CONTENT_TYPES or not file.is_file():
        raise UsageError(f"{file} is not a .csv or .json file with instances.")
    return file.read_bytes(), CONTENT_TYPES[file.suffix]


def predict(runtime: Any, endpoint: str, body: bytes, *, content_type: str) -> list[dict[str, Any]]:
    """One prediction per instance."""
    try:
        answer = runtime.invoke_endpoint(**invoke_request(endpoint, body, content_type=content_type))
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ModelError", "ValidationError", "ValidationException"}:
            raise
        raise RunError(f"Endpoint {endpoint} does not predict: {error}") from error
    predictions: list[dict[str, Any]] = json.loads(answer["Body"].read())["predictions"]
    return predictions


def render_instances(instances: list[dict[str, Any]]) -> bytes:
    return json.dumps({"instances": instances}).encode()
