"""The ASGI application of the server: the registry's paths stream to it, everything else is ministack's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from localaws.registry.http import Registry

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]


# ministack resets, reconfigures and shows messages to anyone who asks there, whatever IAM says.
_OWN_DOORS = ("/_ministack/", "/_localstack/")
_OPEN_DOORS = ("/_ministack/health", "/_ministack/lambda-code/", "/_ministack/lambda-layers/")


def route(registry: Registry, rest: Application) -> Application:
    """Sends the registry's requests to it, their bodies unread, and all others to ministack."""

    async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await rest(scope, receive, send)
        elif Registry.handles(scope["path"]):
            await registry(scope, receive, send)
        elif scope["path"].startswith(_OWN_DOORS) and not scope["path"].startswith(_OPEN_DOORS):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await rest(scope, receive, send)

    return application
