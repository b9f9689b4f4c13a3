"""docs/ledger.md lists every refusal of apply, approve and release in the code's own words, and no other."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from checkout import ROOT

from pipeline import errors
from pipeline.errors import ApprovalError, PipelineError, PlanError, ReleaseRefusedError

# Where plans, their approvals and those of models are refused. What stops others is in docs/runbook.md.
MODULES = ("plans", "plan_store", "plan_approval", "policy", "stack", "gate", "approval", "lambdas/authorise")
REFUSALS = {
    name: error
    for name, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, PlanError | ApprovalError | ReleaseRefusedError)
}


@dataclass(frozen=True)
class Message:
    """What the code can say: `pattern` has a gap for each value that is filled in."""

    place: str
    error: type[PipelineError]
    pattern: str


@dataclass(frozen=True)
class Row:
    """What the page says: without a code where it is not a command's."""

    code: int | None
    text: str


def read_messages(source: str, place: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS:
            pattern = "".join(read_parts(node.args[0]))
            yield Message(f"{place}:{node.lineno}", REFUSALS[node.func.id], pattern)


def read_parts(text: ast.expr) -> Iterator[str]:
    match text:
        case ast.JoinedStr(values=values):
            for value in values:
                yield from read_parts(value)
        case ast.Constant(value=str(words)):
            yield re.escape(words)
        case ast.FormattedValue(conversion=conversion):
            # What is quoted is quoted on the page, too.
            yield "'.+'" if conversion == ord("r") and is_name(text.value) else ".+"
        case _:
            raise AssertionError(f"not a text that can be listed: {ast.dump(text)}")


def is_name(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id != "error"


def read_rows(page: str) -> list[Row]:
    sections = page.partition("## When `mlops apply` says no")[2]
    rows = []
    for line in sections.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[-1] != "it says":
            rows.append(Row(int(cells[0]) if len(cells) == 2 else None, cells[-1]))
    return rows


def all_messages() -> list[Message]:
    files = [ROOT / "pipeline" / f"{name}.py" for name in MODULES]
    return [message for file in files for message in read_messages(file.read_text(), file.name)]


def test_every_refusal_stands_on_the_page_once_under_its_code() -> None:
    rows = read_rows((ROOT / "docs/ledger.md").read_text())

    found = {
        message: [row for row in rows if re.fullmatch(message.pattern, row.text)]
        for message in all_messages()
    }

    assert len(found) >= 30
    assert {message.place: message.pattern for message, fitting in found.items() if len(fitting) != 1} == {}
    assert [
        (message.place, row)
        for message, fitting in found.items()
        for row in fitting
        if row.code not in (None, message.error.exit_code)
    ] == []


def test_the_page_lists_no_refusal_that_the_code_does_not_know() -> None:
    messages = all_messages()

    for row in read_rows((ROOT / "docs/ledger.md").read_text()):
        assert any(re.fullmatch(message.pattern, row.text) for message in messages), row


def test_a_message_that_is_missing_or_gone_would_be_seen() -> None:
    (message,) = read_messages('raise PlanError(f"{stack} is old. Plan again.")', "example")
    (row,) = read_rows(
        "## When `mlops apply` says no\n| code | it says |\n|---|---|\n| 6 | STACK is old. |\n"
    )

    assert message.error.exit_code == row.code == 6
    assert not re.fullmatch(message.pattern, row.text)
    assert re.fullmatch(message.pattern, "STACK is old. Plan again.")
