"""Why something that SageMaker runs failed, in the words of its FailureReason."""

from __future__ import annotations

MAX_REASON_CHARACTERS = 1024


class JobError(Exception):
    """A failure with its reason as SageMaker shows it: `ClientError: …`, `AlgorithmError: …`."""

    @property
    def reason(self) -> str:
        return str(self)[:MAX_REASON_CHARACTERS]


class ClientFaultError(JobError):
    """What was asked for cannot be done: data, image, role or output location."""

    def __init__(self, message: str):
        super().__init__(f"ClientError: {message}")


class EngineError(JobError):
    """The container engine failed, which is nobody's fault who asked for something."""

    def __init__(self, message: str):
        super().__init__(f"InternalServerError: the container engine failed: {message}")
