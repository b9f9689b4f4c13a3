"""Objects that are written once: whoever comes second finds the first. Every record of a decision is one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

MAX_ATTEMPTS = 8
_ABSENT = ("404", "NoSuchBucket", "NoSuchKey")


def put_once(
    body: bytes,
    *,
    s3: Any,
    bucket: str,
    key: str,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """True when this call wrote the object, False when it was there.

    S3's 409 means that another conditional write of the key is under way, whose end nobody knows yet: it is
    tried again, a few times.
    """
    attempt = 1
    while True:
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "PreconditionFailed":
                return False
            if code != "ConditionalRequestConflict" or attempt == MAX_ATTEMPTS:
                raise
        else:
            return True
        sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311
        attempt += 1


def read_object(*, s3: Any, bucket: str, key: str) -> bytes | None:
    """The object's bytes; None where there is none."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return None
        raise
    body: bytes = answer["Body"].read()
    return body
