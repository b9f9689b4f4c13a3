"""Enter into the ledger what happened to plans. Flow 1, behind each step; called by events and every hour."""

from __future__ import annotations

from typing import Any

from pipeline.lambdas import edge
from pipeline.plan_approval import Registry
from pipeline.plan_ledger import note_records


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Anything -> {entered: [sequence]}; the event only wakes it up"""
    settings = edge.settings()
    registry = Registry(
        project=settings.project,
        bucket=settings.state_bucket,
        key_id=settings.approval_key_id,
        s3=edge.client("s3"),
        kms=edge.client("kms"),
    )
    entered = note_records(registry, edge.ledger(), ledger_bucket=settings.ledger_bucket)
    return {"entered": [entry.sequence for entry in entered]}
