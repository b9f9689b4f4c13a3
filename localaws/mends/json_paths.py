"""JSONPaths that name one place: `$.detail.items[0]['a b']`.

Not a mend: EventBridge's and Step Functions' mends use it.
"""

from __future__ import annotations

from typing import Any

from ministack.services import stepfunctions


def select(path: str, data: Any) -> tuple[bool, Any]:
    """Whether the path is in the data, and what is there."""
    for kind, step in stepfunctions._parse_jsonpath_tokens(path) or ():
        in_object = kind == "field" and isinstance(data, dict) and step in data
        in_list = kind == "index" and isinstance(data, list) and step < len(data)
        if not in_object and not in_list:
            return False, None
        data = data[step]
    return True, data
