"""Open the approval gate: keep the task token until somebody answers. Flow: dataset upload, last step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.lambdas import edge
from pipeline.runs_table import RunsTable


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{run_id, model_package_arn, smoke, task_token} -> {}; the answer comes by the token."""
    open_gate(event, runs=edge.runs(), now=edge.now())
    return {}


def open_gate(request: dict[str, Any], *, runs: RunsTable, now: datetime) -> None:
    """Show the run as waiting, with the evidence that the approver looks at."""
    facts = {name: request[name] for name in ("task_token", "model_package_arn", "smoke")}
    runs.move(request["run_id"], "WaitingForApproval", facts=facts, now=now)
