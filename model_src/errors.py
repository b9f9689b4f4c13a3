"""Every error a model team can meet, as one tree; SageMaker shows the message as the failure reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ModelError(Exception):
    """What failed, where, and what to do next, in one message."""


@dataclass(frozen=True)
class Problem:
    """One broken rule of a model.yaml, with the place it stands at."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


class ContractError(ModelError):
    """model.yaml breaks its schema or a rule; carries every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


class DatasetError(ModelError):
    """A CSV does not follow the contract; the message names file, line and column."""


class JobError(ModelError):
    """The job's folders or settings are not what this program can work with."""


class TrainingError(ModelError):
    """The estimator could not be fitted or exported."""


class StoppedError(ModelError):
    """The job was interrupted and has ended in order; the message says what is left to do."""


class ArtefactError(ModelError):
    """A trained model cannot be read, or is not of the model it is said to be."""


class RequestError(ModelError):
    """A request that cannot be answered, with the HTTP status that says why."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)
