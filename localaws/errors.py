"""Errors of the local AWS: those of its command line, and those it answers with as AWS does."""

from __future__ import annotations


class LocalAwsError(Exception):
    """What failed, which thing, and what to do next, in one message."""

    exit_code = 1


class SetupError(LocalAwsError):
    """The machine is not ready: the port is taken, or an engine is demanded and missing."""

    exit_code = 3


class AwsError(Exception):
    """An answer that botocore turns into a `ClientError` with this code, message and HTTP status."""

    def __init__(
        self, code: str, message: str, *, status: int = 400, members: dict[str, object] | None = None
    ):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


class ValidationError(AwsError):
    """The request is well-formed for HTTP but not for the service."""

    def __init__(self, message: str):
        super().__init__("ValidationException", message)
