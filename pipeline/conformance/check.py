"""What a check is, and what can come of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.conformance.subject import Subject

Severity = Literal["must", "should"]
Status = Literal["pass", "fail", "n/a"]

# Names of the AWS pages that the checks quote.
HOSTING = "Custom Inference Code with Hosting Services"
BATCH = "Custom Inference Code with Batch Transform"
TRAINING_IMAGE = "How Amazon SageMaker AI Runs Your Training Image"
TRAINING_OUTPUT = "How Amazon SageMaker AI Processes Training Output"
TRAINING_SIGNALS = "How Amazon SageMaker AI Signals Algorithm Success and Failure"
TRAINING_INFORMATION = "How Amazon SageMaker AI Provides Training Information"
ISOLATION = "Run Training and Inference Containers in Internet-Free Mode"
QUOTAS = "Amazon SageMaker AI endpoints and quotas"
INVOKE = "InvokeEndpoint (API reference)"
SERVERLESS = "Deploy models with Amazon SageMaker Serverless Inference"
PIPELINES = "Inference pipelines in Amazon SageMaker AI"
LOGS = "CloudWatch Logs for Amazon SageMaker AI"
HTTP = "RFC 9110 and 9112, which every client and proxy on the way relies on"
PRACTICE = "no AWS page; what a server meets in production"


@dataclass(frozen=True)
class Check:
    """One rule. `says` is what the contract says; `probe` returns what it saw.

    `must`: the page demands it, or SageMaker cannot run the image. `should`: it recommends it, or production
    demands it.
    """

    id: str
    severity: Severity
    says: str
    source: str
    probe: Callable[[Subject], str]


@dataclass(frozen=True)
class Result:
    """`n/a` is not a pass: nothing was checked, and `detail` says why."""

    check: Check
    status: Status
    detail: str
    seconds: float


class BreachError(Exception):
    """What was seen instead of what the contract says."""


class NotApplicableError(Exception):
    """Why a check has nothing to look at."""
