"""IAM: whether a write to S3 is conditional.

AWS: `s3:if-none-match` is a write's If-None-Match header, and absent where there is none, so that a bucket's
    policy can refuse writes over what is there ["Enforce conditional writes on Amazon S3 buckets"].
ministack: does not know the key, so that such a policy refuses every write.
Hook: `core/iam_actions.py::s3_service_context`.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

VERSION = "1.5.33"
KEY = "s3:if-none-match"


def apply() -> None:
    """Makes a write's condition known to policies."""
    service_context = iam_actions.s3_service_context

    def with_condition(
        iam_action: str,
        query_params: dict[str, Any] | None,
        path: str = "",
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        context: dict[str, Any] = service_context(iam_action, query_params, path, headers)
        value = (headers or {}).get("if-none-match")
        return context | {KEY: value} if value and iam_action == "s3:PutObject" else context

    iam_actions.s3_service_context = with_condition
