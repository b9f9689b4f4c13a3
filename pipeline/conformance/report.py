"""Results as a table, as JSON and as JUnit's XML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from rich.table import Table

from pipeline.conformance.check import Result
from pipeline.errors import ConformanceError

_MARKS = {"pass": "pass", "fail": "FAIL", "n/a": "n/a"}


def count_statuses(results: Sequence[Result]) -> dict[str, int]:
    """How many of each status; failures apart by severity."""
    counts = Counter(f"fail ({r.check.severity})" if r.status == "fail" else r.status for r in results)
    return {name: counts[name] for name in ("pass", "fail (must)", "fail (should)", "n/a")}


def check_results(results: Sequence[Result], image: str, *, strict: bool) -> None:
    """Raises: ConformanceError if a `must` failed; with `strict`, for a `should` too, and if all are n/a."""
    failed = [r.check.id for r in results if r.status == "fail" and (strict or r.check.severity == "must")]
    if failed:
        raise ConformanceError(f"{image} fails {', '.join(failed)}.")
    if strict and all(r.status == "n/a" for r in results):
        raise ConformanceError(f"Nothing of {image} was checked: all {len(results)} results are n/a.")


def to_json(results: Sequence[Result], *, image: str, runtime: str) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "image": image,
        "runtime": runtime,
        "summary": count_statuses(results),
        "checks": [
            {
                "id": result.check.id,
                "severity": result.check.severity,
                "says": result.check.says,
                "source": result.check.source,
                "status": result.status,
                "detail": result.detail,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
    }


def to_junit(results: Sequence[Result], *, image: str) -> bytes:
    """A test suite with a case per check: a failure carries its severity as type, n/a is a skip."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"check-image {image}",
        tests=str(len(results)),
        failures=str(sum(result.status == "fail" for result in results)),
        errors="0",
        skipped=str(sum(result.status == "n/a" for result in results)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"conformance.{result.check.severity}",
            name=result.check.id,
            time=f"{result.seconds:.3f}",
        )
        says = f"{result.check.says} Source: {result.check.source}. Seen: {_printable(result.detail)}"
        if result.status == "fail":
            ElementTree.SubElement(
                case, "failure", type=result.check.severity, message=_printable(result.detail)
            ).text = says
        elif result.status == "n/a":
            ElementTree.SubElement(case, "skipped", message=_printable(result.detail))
        else:
            ElementTree.SubElement(case, "system-out").text = says
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def to_table(results: Sequence[Result], *, image: str, runtime: str) -> Table:
    """One line per check, for people."""
    counts = ", ".join(f"{number} {name}" for name, number in count_statuses(results).items())
    table = Table(title=f"{image} ({runtime}): {counts}", title_justify="left")
    for heading in ("check", "", "", "seen"):
        table.add_column(heading, overflow="fold")
    for result in results:
        table.add_row(
            result.check.id, result.check.severity, _MARKS[result.status], _printable(result.detail)
        )
    return table


def _printable(text: str) -> str:
    """An image's own words without what is no character of XML or moves a terminal's cursor."""
    return "".join(mark if mark.isprintable() else " " for mark in text)
