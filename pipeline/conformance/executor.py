"""Applies checks to a subject, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pipeline.conformance.check import BreachError, Check, NotApplicableError, Result, Status
from pipeline.conformance.subject import Subject


def run_checks(
    checks: Iterable[Check], subject: Subject, *, report: Callable[[Result], None]
) -> tuple[Result, ...]:
    """What came of each, in order; `report` hears of each when it is done."""
    results = []
    for check in checks:
        result = _run_check(check, subject)
        report(result)
        results.append(result)
    return tuple(results)


def _run_check(check: Check, subject: Subject) -> Result:
    started = time.monotonic()
    status: Status = "pass"
    try:
        detail = check.probe(subject)
    except BreachError as failure:
        status, detail = "fail", str(failure)
        subject.doubt_server()
    except NotApplicableError as reason:
        status, detail = "n/a", str(reason)
    return Result(check, status, detail, time.monotonic() - started)
