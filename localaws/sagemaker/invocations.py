"""InvokeEndpoint: the SageMaker runtime, a service of its own.

Source: Amazon SageMaker API reference, InvokeEndpoint.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from localaws.errors import AwsError
from localaws.sagemaker.deployments import LiveEndpoint
from localaws.sagemaker.endpoints import Endpoints
from localaws.sagemaker.fleets import Variant
from localaws.sagemaker.metrics import Invocation, Metrics
from localaws.sagemaker.servers import Reply
from localaws.service import Query, Response, current_scope, error_response
from localaws.store import Scope

MAX_BODY_BYTES = 25 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 1024
_PATH = re.compile(r"/endpoints/([^/]+)/([a-z-]+)")
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


@dataclass(frozen=True)
class Request:
    """One request to an endpoint, as its container gets it."""

    scope: Scope
    endpoint: str
    body: bytes
    headers: dict[str, str]
    received_at: float


class InvocationApi:
    """Answers requests to endpoints."""

    def __init__(self, endpoints: Endpoints, metrics: Metrics):
        self._endpoints = endpoints
        self._metrics = metrics

    async def handle_request(
        self, _method: str, path: str, headers: Mapping[str, str], body: bytes, _query: Query
    ) -> Response:
        """The entry point that ministack calls on its event loop; the request waits in a worker thread."""
        try:
            name = invoked_endpoint(path)
            if len(body) > MAX_BODY_BYTES:
                return _too_large()
            request = Request(current_scope(), name, body, forwarded_headers(headers), time.perf_counter())
            target = headers.get("x-amzn-sagemaker-target-variant")
            return await asyncio.to_thread(self._invoke, request, target)
        except AwsError as error:
            return error_response(error)

    def _invoke(self, request: Request, target: str | None) -> Response:
        live = self._endpoints.find_live(request.scope, request.endpoint)
        if live is None:
            raise _no_endpoint(request)
        with live.request() as fleet:
            if fleet is None:
                raise _no_endpoint(request)
            variant = fleet.choose(target)
            if variant is None:
                raise AwsError(
                    "ValidationError", f"Variant {target} not found for endpoint {request.endpoint}."
                )
            shadow = fleet.shadow_of(variant)
            if shadow is not None:
                live.send_shadow(lambda: self._ask(request, live, shadow))
            reply = self._ask(request, live, variant)
        if not 200 <= reply.status < 300:
            raise model_error(request, reply)
        return 200, answer_headers(variant, reply), reply.body

    def _ask(self, request: Request, live: LiveEndpoint, variant: Variant) -> Reply:
        reply = variant.server.invoke(request.body, request.headers)
        invocation = Invocation(
            request.endpoint,
            variant.name,
            variant.instance_count,
            reply.status,
            reply.latency_s,
            time.perf_counter() - request.received_at - reply.latency_s,
        )
        self._metrics.add(request.scope, invocation)
        if live.capture is not None:
            answered = (reply.headers.get("Content-Type", ""), reply.body)
            live.capture.add(variant.name, (request.headers["Content-Type"], request.body), answered)
        return reply


def invoked_endpoint(path: str) -> str:
    """The endpoint that a path invokes. Raises: AwsError for what is not covered."""
    matched = _PATH.fullmatch(path)
    if matched is None:
        raise AwsError("UnknownOperationException", f"No such path: {path}", status=404)
    if matched[2] != "invocations":
        raise AwsError(
            "NotImplemented", f"The local AWS does not cover {matched[2]} of endpoints.", status=501
        )
    return unquote(matched[1])


def forwarded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What the container gets of the caller's headers."""
    forwarded = {
        "Content-Type": headers.get("content-type", "application/octet-stream"),
        "Accept": headers.get("accept", "*/*"),
    }
    if _ATTRIBUTES in headers:
        forwarded["X-Amzn-SageMaker-Custom-Attributes"] = headers[_ATTRIBUTES]
    return forwarded


def answer_headers(variant: Variant, reply: Reply) -> dict[str, str]:
    """What the caller gets of the container's headers."""
    lowered = {name.lower(): value for name, value in reply.headers.items()}
    headers = {
        "Content-Type": lowered.get("content-type", "application/octet-stream"),
        "x-Amzn-Invoked-Production-Variant": variant.name,
    }
    if _ATTRIBUTES in lowered:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = lowered[_ATTRIBUTES]
    return headers


def model_error(request: Request, reply: Reply) -> AwsError:
    """How SageMaker passes a container's error on."""
    original = reply.body.decode(errors="replace")[:MAX_MESSAGE_CHARACTERS]
    if reply.status == 0:
        original = f"Your invocation got no answer from container primary: {original}"
    side = "client" if 400 <= reply.status < 500 else "server"
    scope, group = request.scope, f"/aws/sagemaker/Endpoints/{request.endpoint}"
    message = (
        f'Received {side} error ({reply.status}) from primary with message "{original}". See '
        f"CloudWatch log group {group} in account {scope.account_id} for more information."
    )
    members: dict[str, object] = {
        # botocore's model spells this error's members with capitals.
        "Message": message,
        "OriginalMessage": original,
        "OriginalStatusCode": reply.status,
        "LogStreamArn": f"arn:aws:logs:{scope.region}:{scope.account_id}:log-group:{group}",
    }
    return AwsError("ModelError", message, status=424, members=members)


def _no_endpoint(request: Request) -> AwsError:
    return AwsError(
        "ValidationError", f"Endpoint {request.endpoint} of account {request.scope.account_id} not found."
    )


def _too_large() -> Response:
    # No error code: botocore then shows the status, `An error occurred (413)`, as it does with AWS.
    body = json.dumps({"message": f"HTTP content length exceeded {MAX_BODY_BYTES} bytes."}).encode()
    return 413, {"Content-Type": "application/json"}, body
