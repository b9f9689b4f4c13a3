"""What this machine has of what the pipeline needs, each with what to do where it is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws import Aws, read_caller
from pipeline.engine import find_engine
from pipeline.errors import PipelineError, SetupError
from pipeline.settings import Settings
from pipeline.toolchain import find_toolchain

Verdict = Literal["ok", "missing", "optional"]


@dataclass(frozen=True)
class Finding:
    """`optional` is missing too, but something else works without it."""

    subject: str
    verdict: Verdict
    detail: str


def examine(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    return [
        Finding("Python", "ok", f"{platform.python_version()} in {sys.prefix}"),
        _judge("Terraform", lambda: _check_terraform(settings, environ)),
        _check_engine(),
        _check_caller(settings),
    ]


def check_findings(findings: list[Finding]) -> None:
    """Raises: SetupError naming what is missing."""
    missing = [f"{finding.subject}: {finding.detail}" for finding in findings if finding.verdict == "missing"]
    if missing:
        raise SetupError("; ".join(missing))


def _judge(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", check())
    except PipelineError as error:
        return Finding(subject, "missing", str(error))


def _check_terraform(settings: Settings, environ: Mapping[str, str]) -> str:
    found = find_toolchain(settings.checkout, environ)
    provider = (
        f"provider configuration {found.terraform_rc}" if found.terraform_rc else "provider by registry"
    )
    return f"{found.version} at {found.terraform}, {provider}"


def _check_engine() -> Finding:
    client, detail = find_engine()
    if client is None:
        return Finding("Container engine", "optional", f"none answers ({detail}); programs run as processes")
    return Finding("Container engine", "ok", detail)


def _check_caller(settings: Settings) -> Finding:
    """Needed by all commands but build and demo, which bring their own AWS or need none."""
    try:
        caller = read_caller(Aws(settings.region).client("sts"))
    except (BotoCoreError, ClientError) as error:
        return Finding(
            "AWS", "optional", f"no usable credentials ({error}); `mlops local up` starts a local AWS"
        )
    return Finding("AWS", "ok", f"{caller.arn} in {settings.region}")
