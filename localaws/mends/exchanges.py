"""What a request asked and what it was answered, for mends that need both: CloudTrail, and S3's events.

Not a mend of its own. Hook: `app.py::_dispatch_service_request`, through which every request of an AWS API
goes.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core import router
from ministack.core.responses import get_account_id, get_region, get_request_client_ip

from localaws.mends.upload_forms import form_access_key_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One request of an AWS API. Header names are in lower case; a query parameter has a list of values."""

    service: str
    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    body: bytes
    request_id: str
    access_key_id: str
    account_id: str
    region: str
    client_ip: str


@dataclass(frozen=True)
class Response:
    """What it was answered. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


Observer = Callable[[Request, Response], None]

current_request: contextvars.ContextVar[Request | None] = contextvars.ContextVar(
    "current_request", default=None
)
_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Calls `observer` after each exchange."""
    follow_requests()
    _observers.append(observer)


def follow_requests() -> None:
    """Makes `current_request` known to what runs on behalf of a request. A second call does nothing."""
    dispatch = app._dispatch_service_request
    if getattr(dispatch, "is_observed", False):
        return

    async def dispatch_observed(
        method: str, path: str, headers: Any, body: bytes, query: Any, request_id: str
    ) -> Any:
        request = _request_of(method, path, headers, body, query, request_id)
        current_request.set(request)
        status, answer_headers, answer = await dispatch(method, path, headers, body, query, request_id)
        response = _response_of(status, answer_headers, answer)
        for observer in _observers:
            try:
                observer(request, response)
            except Exception:  # an answer that was given must not be lost to its record
                logger.exception("After %s %s", method, path)
        return status, answer_headers, answer

    dispatch_observed.is_observed = True  # type: ignore[attr-defined]
    app._dispatch_service_request = dispatch_observed


def _request_of(method: str, path: str, headers: Any, body: bytes, query: Any, request_id: str) -> Request:
    parameters = app._routing_params(method, path, headers, body, query)
    return Request(
        app.detect_service(method, path, headers, parameters),
        method,
        path,
        headers,
        query,
        body,
        request_id,
        # A browser's form is signed by one of its fields.
        router.extract_access_key_id(headers, query) or form_access_key_id(method, headers, body),
        get_account_id(),
        get_region(),
        get_request_client_ip(),
    )


def _response_of(status: int, headers: dict[str, str], body: Any) -> Response:
    lowered = {name.lower(): str(value) for name, value in headers.items()}
    return Response(status, lowered, body if isinstance(body, bytes) else b"")
