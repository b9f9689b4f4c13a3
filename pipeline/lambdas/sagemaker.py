"""SageMaker's answers, where they need reading: what is missing, and what was made before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


def describe(call: Callable[..., dict[str, Any]], **name: str) -> dict[str, Any] | None:
    """The resource, or None when there is none of that name.

    SageMaker has no code of its own for a missing model, endpoint configuration or endpoint: it answers
    ValidationException "Could not find ...".
    """
    try:
        return call(**name)
    except ClientError as error:
        details = error.response["Error"]
        if details["Code"] == "ValidationException" and "could not find" in details["Message"].lower():
            return None
        raise
