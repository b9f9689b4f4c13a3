"""The ASGI application of the server: the registry's paths stream to it, everything else is ministack's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from localaws.registry.http import Registry

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]


def route(registry: Registry, rest: Application) -> Application:
    """Sends requests of the distribution protocol to the registry before their bodies are read into memory."""

    async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and Registry.handles(scope["path"]):
            await registry(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return application
