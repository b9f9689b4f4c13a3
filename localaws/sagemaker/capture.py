"""Data capture: requests and answers of an endpoint, as JSON lines in S3.

Source: Amazon SageMaker developer guide, "Capture data from real-time endpoint".
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import random
import threading
import uuid
from collections import defaultdict, deque
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.mends.role_sessions import RoleError
from localaws.sagemaker.roles import ExecutionRole
from localaws.sagemaker.transfer import join_uri, split_uri
from localaws.schema import Members

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0


class Capture:
    """Captures of one endpoint, written every second with the permissions of the model's role."""

    def __init__(self, config: Members, *, endpoint: str, role: ExecutionRole):
        self._config = config
        self._endpoint = endpoint
        self._role = role
        self._lines: deque[tuple[str, str]] = deque()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"capture/{endpoint}", daemon=True)
        self._thread.start()

    def add(self, variant: str, request: tuple[str, bytes], answer: tuple[str, bytes]) -> None:
        """Keeps a request and its answer, each a content type and a body, if it is sampled."""
        if random.random() * 100 < self._config["InitialSamplingPercentage"]:  # noqa: S311 (a sample)
            self._lines.append((variant, json.dumps(capture_record(self._config, request, answer))))

    def close(self) -> None:
        """Returns when everything kept is written."""
        self._done.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._done.wait(INTERVAL_S):
            self._write()
        self._write()

    def _write(self) -> None:
        by_variant: dict[str, list[str]] = defaultdict(list)
        while self._lines:
            variant, line = self._lines.popleft()
            by_variant[variant].append(line)
        for variant, lines in by_variant.items():
            try:
                self._put(variant, lines)
            except (ClientError, BotoCoreError, RoleError) as error:
                # On AWS captures are lost too when the role is gone or may not write; requests are not.
                logger.warning("captures of endpoint %s are lost: %s", self._endpoint, error)

    def _put(self, variant: str, lines: list[str]) -> None:
        now = dt.datetime.now(dt.UTC)
        name = f"{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        uri = join_uri(self._config["DestinationS3Uri"], self._endpoint, variant, f"{now:%Y/%m/%d/%H}", name)
        bucket, key = split_uri(uri)
        kms_key_id = self._config.get("KmsKeyId")
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        body = "".join(f"{line}\n" for line in lines).encode()
        self._role.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **encryption)


def capture_record(config: Members, request: tuple[str, bytes], answer: tuple[str, bytes]) -> Members:
    """One line of a capture file."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    data: Members = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side(config, "INPUT", request)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side(config, "OUTPUT", answer)
    metadata = {
        "eventId": str(uuid.uuid4()),
        "inferenceTime": dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def _side(config: Members, mode: str, content: tuple[str, bytes]) -> dict[str, Any]:
    content_type, body = content
    header = config.get("CaptureContentTypeHeader", {})
    encoding = "BASE64"
    if content_type in header.get("CsvContentTypes", []):
        encoding = "CSV"
    elif content_type in header.get("JsonContentTypes", []):
        encoding = "JSON"
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
