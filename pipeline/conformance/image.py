"""Checks of what an image says of itself; nothing is started."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pipeline.conformance.check import (
    HOSTING,
    PRACTICE,
    SERVERLESS,
    TRAINING_IMAGE,
    BreachError,
    Check,
    NotApplicableError,
)
from pipeline.conformance.program import ImageFacts
from pipeline.conformance.subject import Subject

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh"}
_ROOT = {"", "root", "0"}
_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")
_SECRET_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|PRIVATE_KEY|API_?KEY", re.IGNORECASE)


def check_platform(subject: Subject) -> str:
    facts = _facts(subject)
    if facts.os != "linux" or facts.architecture not in ("amd64", "arm64"):
        raise BreachError(f"it is {facts.os}/{facts.architecture}")
    only = "; on Graviton instances only" if facts.architecture == "arm64" else ""
    return f"{facts.os}/{facts.architecture}{only}"


def check_size(subject: Subject) -> str:
    size, limit = _facts(subject).size_bytes, subject.limits.image_bytes
    if size > limit:
        raise BreachError(f"{size / 1e9:.2f} GB unpacked")
    return f"{size / 1e6:.0f} MB unpacked"


def check_exec_form(subject: Subject) -> str:
    entrypoint = _facts(subject).entrypoint
    if len(entrypoint) > 1 and _name(entrypoint[0]) in _SHELLS and entrypoint[1].startswith("-"):
        raise BreachError(f"{' '.join(entrypoint[:2])}: the shell gets SIGTERM, and no argument arrives")
    return " ".join(entrypoint) or "no entry point: `serve` itself is the first process"


def check_not_tini(subject: Subject) -> str:
    entrypoint = _facts(subject).entrypoint
    if entrypoint and _name(entrypoint[0]).startswith("tini"):
        raise BreachError("the entry point is tini")
    return "it is not"


def check_user(subject: Subject) -> str:
    user = _facts(subject).user
    if user.partition(":")[0] not in _ROOT:
        raise BreachError(f"it runs as {user}")
    return "root"


def check_secrets(subject: Subject) -> str:
    facts = _facts(subject)
    found = sorted(name for name, value in facts.environment.items() if value and _SECRET_NAME.search(name))
    texts = [*facts.environment.values(), *facts.labels.values(), *facts.history]
    if any(_ACCESS_KEY.search(text) for text in texts):
        found.append("an AWS access key")
    if found:
        raise BreachError(f"{', '.join(found)} in its configuration")
    return "none in variables, labels and build steps"


def _facts(subject: Subject) -> ImageFacts:
    if subject.runtime.facts is None:
        raise NotApplicableError("a program folder is no image")
    return subject.runtime.facts


def _name(word: str) -> str:
    return PurePosixPath(word).name


CHECKS = (
    Check(
        "image-platform",
        "must",
        "The image is for Linux on amd64, or on arm64 for Graviton instances.",
        HOSTING,
        check_platform,
    ),
    Check(
        "image-size", "should", "The image is at most 10 GB (serverless inference).", SERVERLESS, check_size
    ),
    Check(
        "entrypoint-exec-form",
        "must",
        "ENTRYPOINT has the exec form, so that the program gets the signals.",
        HOSTING,
        check_exec_form,
    ),
    Check("entrypoint-no-tini", "should", "tini is not the entry point.", TRAINING_IMAGE, check_not_tini),
    Check("image-user", "should", "The image runs as root.", HOSTING, check_user),
    Check(
        "image-no-secrets",
        "should",
        "No password, token or access key is in the image's configuration.",
        PRACTICE,
        check_secrets,
    ),
)
