"""Which calls a trail wants: basic and advanced event selectors.

Not a mend: `cloudtrail_events` uses it. Source: API pages of EventSelector and AdvancedFieldSelector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "StartsWith": lambda value, wanted: value.startswith(wanted),
    "EndsWith": lambda value, wanted: value.endswith(wanted),
}
EVERY_OBJECT = ("arn:aws:s3", "arn:aws:s3:::")
EVERY_FUNCTION = "arn:aws:lambda"


def selects(selectors: list[dict[str, Any]], record: dict[str, Any]) -> bool:
    """Whether one of a trail's selectors wants the record."""
    return any(
        _advanced(selector["FieldSelectors"], record)
        if "FieldSelectors" in selector
        else _basic(selector, record)
        for selector in selectors
    )


def may_select(selectors: list[dict[str, Any]], data_type: str | None) -> bool:
    """Whether a selector could want a data event of the type; a quick look before a record is made."""
    for selector in selectors:
        fields = {field["Field"]: field for field in selector.get("FieldSelectors", [])}
        if fields and data_type in fields.get("resources.type", {}).get("Equals", [data_type]):
            return True
        if any(group["Type"] == data_type for group in selector.get("DataResources") or []):
            return True
    return False


def _basic(selector: dict[str, Any], record: dict[str, Any]) -> bool:
    wanted = {"ReadOnly": (True,), "WriteOnly": (False,)}.get(
        selector.get("ReadWriteType", "All"), (True, False)
    )
    if record["readOnly"] not in wanted:
        return False
    if record["managementEvent"]:
        excluded = selector.get("ExcludeManagementEventSources", [])
        return bool(selector.get("IncludeManagementEvents", True)) and record["eventSource"] not in excluded
    return any(
        resource.get("type") == group["Type"] and _covers(value, _arn(resource))
        for group in selector.get("DataResources", [])
        for value in group["Values"]
        for resource in record["resources"]
    )


def _covers(value: str, arn: str) -> bool:
    """A bucket or prefix covers what begins with it; a function covers itself."""
    if value in EVERY_OBJECT or value == EVERY_FUNCTION:
        return True
    return arn.startswith(value) if value.startswith("arn:aws:s3:::") else arn == value


def _advanced(fields: list[dict[str, Any]], record: dict[str, Any]) -> bool:
    return all(_field(field, _values(field["Field"], record)) for field in fields)


def _field(field: dict[str, Any], values: list[str]) -> bool:
    for name, matches in OPERATORS.items():
        if name in field and not any(matches(value, wanted) for value in values for wanted in field[name]):
            return False
        refused = field.get(f"Not{name}", [])
        if any(matches(value, wanted) for value in values for wanted in refused):
            return False
    return True


def _values(field: str, record: dict[str, Any]) -> list[str]:
    """What the record has under a selector's field."""
    if field == "resources.type":
        return [resource["type"] for resource in record["resources"][:1] if "type" in resource]
    if field == "resources.ARN":
        return [_arn(resource) for resource in record["resources"][:1]]
    if field == "readOnly":
        return [str(record["readOnly"]).lower()]
    value: Any = record
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return [] if value is None else [str(value)]


def _arn(resource: dict[str, str]) -> str:
    return resource.get("ARN") or resource.get("ARNPrefix", "")
