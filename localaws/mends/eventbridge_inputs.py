"""EventBridge: what a target is given, exactly.

AWS: paths of an input transformer may index arrays; a path that is not in the event gives an empty string;
    `<aws.events.event>` writes `detailType`; a placeholder without a path, two kinds of input, and a state
    machine without a role are refused by PutTargets ["Amazon EventBridge input transformation", API page of
    PutTargets].
ministack: follows dots only, writes `detail-type`, and refuses nothing.
Hook: `services/eventbridge.py::_apply_input_transformer`, `::_put_targets`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import eventbridge

from localaws.mends import json_paths

VERSION = "1.5.33"

INPUTS = ("Input", "InputPath", "InputTransformer")
PLACEHOLDER = re.compile(r"<([^<>\"]+)>")
RESERVED = (
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event",
    "aws.events.event.json",
    "aws.events.event.ingestion-time",
)


def apply() -> None:
    """Makes targets get what they get on AWS."""
    put_targets = eventbridge._put_targets

    def put_valid_targets(data: dict[str, Any]) -> Any:
        for target in data.get("Targets", []):
            problem = target_problem(target)
            if problem:
                return error_response_json("ValidationException", problem, 400)
        return put_targets(data)

    eventbridge._put_targets = put_valid_targets
    eventbridge._apply_input_transformer = _transform


def target_problem(target: dict[str, Any]) -> str | None:
    """Why PutTargets refuses the target, or None."""
    name = target.get("Id", "")
    if sum(kind in target for kind in INPUTS) > 1:
        return f"Only one of Input, InputPath, or InputTransformer must be provided for target {name}."
    if ":states:" in target.get("Arn", "") and not target.get("RoleArn"):
        return f"RoleArn is required for target {target['Arn']}."
    transformer = target.get("InputTransformer", {})
    known = (*transformer.get("InputPathsMap", {}), *RESERVED)
    for placeholder in PLACEHOLDER.findall(transformer.get("InputTemplate", "")):
        if placeholder not in known:
            return f"InputTemplate for target {name} contains invalid placeholder {placeholder}."
    return None


def input_of(target: dict[str, Any], rule: dict[str, Any], view: Any) -> str | None:
    """The text the target is given instead of the event; None for the event itself."""
    if "InputTransformer" in target:
        return _transform(target["InputTransformer"], rule, view)
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        found, value = json_paths.select(target["InputPath"], view.event_with_detail())
        return json.dumps(value) if found else None
    return None


def _transform(transformer: dict[str, Any], rule: dict[str, Any] | None, view: Any) -> str:
    event = view.event_with_detail()
    values = {
        name: _value(path, event) for name, path in transformer.get("InputPathsMap", {}).items()
    } | _reserved(rule or {}, view)
    return str(eventbridge._render_input_template(transformer["InputTemplate"], values))


def _value(path: str, event: dict[str, Any]) -> Any:
    found, value = json_paths.select(path, event)
    return value if found else ""


def _reserved(rule: dict[str, Any], view: Any) -> dict[str, Any]:
    envelope = {
        "detailType" if name == "detail-type" else name: value for name, value in view.envelope().items()
    }
    return {
        "aws.events.rule-arn": rule.get("Arn", ""),
        "aws.events.rule-name": rule.get("Name", ""),
        "aws.events.event": envelope,
        "aws.events.event.json": view.event_with_detail(),
        "aws.events.event.ingestion-time": datetime.now(UTC)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z"),
    }
