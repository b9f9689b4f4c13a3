"""The container engine, if there is one."""

from __future__ import annotations

from dataclasses import dataclass

import docker
import requests
from docker.context import ContextAPI
from docker.errors import DockerException

PING_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Engine:
    """A container engine that answers. `host` is None for docker-py's own default."""

    name: str
    host: str | None


@dataclass(frozen=True)
class NoEngine:
    """Why there is none, in one line."""

    reason: str


def find_engine() -> Engine | NoEngine:
    """The engine named by DOCKER_HOST, the default socket or the current Docker context."""
    reasons = []
    for host in _hosts():
        try:
            client = connect(host, timeout_s=PING_TIMEOUT_S)
        except (DockerException, requests.RequestException, OSError) as error:
            reasons.append(f"{host or 'default socket'}: {error}")
            continue
        version = client.version()
        client.close()
        return Engine(f"{version['Components'][0]['Name']} {version['Version']}", host)
    return NoEngine("; ".join(reasons))


def connect(host: str | None, *, timeout_s: float) -> docker.DockerClient:
    """A client of an engine that answered a ping."""
    if host is None:
        client = docker.from_env(timeout=timeout_s)  # type: ignore[arg-type]
    else:
        client = docker.DockerClient(base_url=host, timeout=timeout_s)  # type: ignore[arg-type]
    client.ping()
    return client


def _hosts() -> list[str | None]:
    context = ContextAPI.get_current_context()
    host = getattr(context, "Host", None) if context else None
    return [None] if host is None else [None, host]
