"""Checks of what surrounds a server: a model it may only read, no network, logs that are collected."""

from __future__ import annotations

from pipeline.conformance.check import HOSTING, ISOLATION, LOGS, BreachError, Check, NotApplicableError
from pipeline.conformance.client import Reply
from pipeline.conformance.server import Start
from pipeline.conformance.subject import Subject, explain_start
from pipeline.conformance.tree import hash_files


def check_model_untouched(subject: Subject) -> str:
    server = subject.server()
    before, after = hash_files(subject.served_tree / "model"), server.program.files("model")
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise BreachError(f"the server wrote {', '.join(changed[:5])}")
    return f"{len(after)} files as they were, after all these requests"


def check_read_only(subject: Subject) -> str:
    if subject.runtime.name == "process":
        raise NotApplicableError("a process has no mounts")
    with subject.start(read_only_model=True) as start:
        return _check_answers(subject, start)


def check_offline(subject: Subject) -> str:
    with subject.start(offline=True) as start:
        return _check_answers(subject, start)


def check_logs(subject: Subject) -> str:
    lines = subject.server().output().splitlines()
    if not lines:
        raise BreachError("nothing was written to stdout or stderr")
    return f"{len(lines)} lines"


def _check_answers(subject: Subject, start: Start) -> str:
    if start.healthy_s is None:
        raise BreachError(f"not healthy: {explain_start(start)}")
    if subject.material.sample is None:
        return "healthy"
    usual, answer = subject.first_start.first_answer, start.first_answer
    if isinstance(usual, Reply) and usual.accepted and not (isinstance(answer, Reply) and answer.accepted):
        raise BreachError(f"the sample request is not answered any more: {answer}")
    return "healthy, and the sample request is answered as before"


CHECKS = (
    Check("model-untouched", "must", "/opt/ml/model is only read.", HOSTING, check_model_untouched),
    Check(
        "model-read-only",
        "must",
        "The server works with /opt/ml/model mounted read-only.",
        HOSTING,
        check_read_only,
    ),
    Check(
        "serves-offline",
        "should",
        "The server works without a network (network isolation).",
        ISOLATION,
        check_offline,
    ),
    Check("logs", "should", "Logs go to stdout or stderr, where CloudWatch takes them.", LOGS, check_logs),
)
