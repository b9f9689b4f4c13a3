"""The container engine and the base image: found and named. An engine is never installed from here."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import socket
import urllib.parse
from pathlib import Path

from machine.finding import Finding, say

LOCAL_BASE_IMAGE = "local/python:3.11-bookworm"
PROBE_TIMEOUT_S = 5.0
PULL_TIMEOUT_S = 600.0


class Engine:
    """Docker's HTTP API, at a Unix socket or at DOCKER_HOST's tcp address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def request(self, method: str, path: str, *, timeout_s: float = PROBE_TIMEOUT_S) -> tuple[int, str]:
        connection = self._connect(timeout_s)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        if not self.address.startswith("unix://"):
            return http.client.HTTPConnection(self.address.split("://", 1)[-1], timeout=timeout_s)
        connection = http.client.HTTPConnection("docker", timeout=timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout_s)
        connection.sock.connect(self.address[len("unix://") :])
        return connection


def engine_addresses() -> list[str]:
    """Where an engine may listen: DOCKER_HOST alone when it is set, else the usual sockets."""
    if os.environ.get("DOCKER_HOST"):
        return [os.environ["DOCKER_HOST"]]
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    home = Path.home()
    sockets = [
        Path("/var/run/docker.sock"),
        Path(runtime) / "docker.sock",
        home / ".docker/run/docker.sock",
        home / ".docker/desktop/docker.sock",
        home / ".colima/default/docker.sock",
    ]
    return [f"unix://{path}" for path in sockets if path.exists()]


def check_engine() -> Finding:
    """The first engine that answers, by name and version."""
    refusals = []
    for address in engine_addresses():
        try:
            status, body = Engine(address).request("GET", "/version")
            if status == 200:
                detail = f"{engine_name(json.loads(body))} at {address}"
                return Finding("engine", True, detail, required=False, value=address)
            refusals.append(f"{address} answers {status}")
        except PermissionError:
            refusals.append(f"{address} is not open to you (sudo usermod -aG docker $USER, then log in anew)")
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            refusals.append(f"{address}: {error}")
    return Finding(
        "engine",
        False,
        "; ".join(refusals) or "none found, so models run as plain processes",
        "for containers, install and start one (Debian: sudo apt-get install docker.io)",
        required=False,
    )


def engine_name(version: dict[str, object]) -> str:
    """`Docker Engine 20.10.24`, from the answer to GET /version."""
    described = version.get("Platform")
    name = described.get("Name") if isinstance(described, dict) else ""
    return f"{str(name or 'Docker Engine').split(' - ')[0]} {version['Version']}"


def default_base_image(root: Path) -> str:
    """The base image that container/Dockerfile names."""
    path = root / "container/Dockerfile"
    found = re.search(r"^ARG BASE_IMAGE=(\S+)", path.read_text() if path.exists() else "", re.MULTILINE)
    return found[1] if found else ""


def check_base_image(root: Path, engine: str) -> Finding:
    """A base image the engine has: the one asked for, the Dockerfile's, or .ci/base_image.sh's."""
    asked = os.environ.get("MLOPS_BASE_IMAGE")
    for image in [asked] if asked else [default_base_image(root), LOCAL_BASE_IMAGE]:
        if image and Engine(engine).request("GET", f"/images/{image}/json")[0] == 200:
            return Finding("base image", True, image, required=False, value=image)
    return Finding(
        "base image",
        False,
        f"the engine has no {asked or default_base_image(root) or LOCAL_BASE_IMAGE}",
        "make setup pulls it; on Debian without a registry: sudo .ci/base_image.sh",
        required=False,
    )


def ensure_base_image(root: Path, engine: str) -> Finding:
    """A base image in the engine, pulled if need be; without one, models run as plain processes."""
    found = check_base_image(root, engine)
    image = os.environ.get("MLOPS_BASE_IMAGE") or default_base_image(root)
    if found.ok or not image:
        return found
    say("base image", f"pulling {image} ...")
    path = f"/images/create?fromImage={urllib.parse.quote(image, safe='')}"
    try:
        _, answer = Engine(engine).request("POST", path, timeout_s=PULL_TIMEOUT_S)
    except OSError as error:
        answer = str(error)
    pulled = check_base_image(root, engine)
    if pulled.ok:
        return pulled
    return dataclasses.replace(
        found,
        detail=f"{image} could not be pulled, so models run as plain processes: {answer.strip()[-300:]}",
        next_step="set MLOPS_BASE_IMAGE to an image with Python 3.11, or on Debian: sudo .ci/base_image.sh",
    )
