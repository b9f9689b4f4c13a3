"""IAM: what a service does by itself comes over TLS.

AWS: services reach queues, topics and buckets by HTTPS, so that `aws:SecureTransport` is true for them; a
    policy that denies plain HTTP keeps none of them out ["AWS global condition context keys"; "Using
    dead-letter queues to process undelivered events" with a policy as "Encrypting data in transit" has it].
ministack: takes for plain HTTP what no request has begun, as EventBridge's deliveries.
Hook: `core/iam_evaluator.py::_request_origin`.
"""

from __future__ import annotations

from contextvars import ContextVar

from ministack.core import iam_evaluator

VERSION = "1.5.33"


def apply() -> None:
    """Makes TLS what is assumed where no request tells."""
    iam_evaluator._request_origin = ContextVar("request_origin", default=("127.0.0.1", True))
