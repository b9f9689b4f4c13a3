"""The container engine, if there is one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
from docker.context import ContextAPI
from docker.errors import DockerException, ImageNotFound, NotFound

PING_TIMEOUT_S = 3.0
# Longer than any call but a wait, which has no limit.
CALL_TIMEOUT_S = 600
# On everything that a server makes in an engine.
LABEL = "org.mlops.localaws.state-dir"


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
            asked = host or os.environ.get("DOCKER_HOST", "the default socket")
            reasons.append(f"{asked}: {error}")
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


def label_of(state_dir: Path) -> dict[str, str]:
    """The label of what the server of this state directory makes."""
    return {LABEL: str(state_dir)}


def label_filter(label: dict[str, str]) -> list[str]:
    """A label as the engine's filters want it."""
    return [f"{name}={value}" for name, value in label.items()]


def remove_labelled(client: docker.DockerClient, label: dict[str, str]) -> None:
    """Removes the containers and networks that carry a label."""
    for container in client.containers.list(
        all=True, filters={"label": label_filter(label)}, ignore_removed=True
    ):
        try:
            container.remove(force=True, v=True)
        except NotFound:
            continue
    for network in client.networks.list(filters={"label": label_filter(label)}):
        network.remove()


def remove_images(client: docker.DockerClient, references: list[str]) -> None:
    """Removes references to images; layers that others use stay."""
    for reference in references:
        try:
            client.images.remove(reference, noprune=True)
        except ImageNotFound:
            continue


def _hosts() -> list[str | None]:
    if "DOCKER_HOST" in os.environ:
        return [None]
    context = ContextAPI.get_current_context()
    host = getattr(context, "Host", None) if context else None
    return [None] if host is None else [None, host]
