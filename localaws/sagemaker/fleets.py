"""A fleet: the servers of every variant of one endpoint configuration."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from localaws.runtime.platform import Platform
from localaws.sagemaker.networks import Interfaces
from localaws.sagemaker.roles import ExecutionRole
from localaws.sagemaker.servers import (
    DEFAULT_HEALTH_TIMEOUT_S,
    STOP_GRACE_S,
    ModelServer,
    instance_id,
    start_server,
)
from localaws.schema import Members
from localaws.store import Scope

T = TypeVar("T")


@dataclass
class Variant:
    """A variant that serves: what was asked for, and what runs."""

    config: Members
    server: ModelServer
    weight: float
    instance_count: int

    @property
    def name(self) -> str:
        return str(self.config["VariantName"])

    def summary(self) -> Members:
        """The variant as DescribeEndpoint shows it."""
        image = self.server.image
        deployed = {
            "SpecifiedImage": image.uri,
            "ResolvedImage": image.pinned_uri,
            "ResolutionTime": self.server.resolved_at,
        }
        summary = {
            "VariantName": self.name,
            "DeployedImages": [deployed],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
        }
        if "ServerlessConfig" in self.config:
            serverless = self.config["ServerlessConfig"]
            return {**summary, "CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}
        return {
            **summary,
            "CurrentInstanceCount": self.instance_count,
            "DesiredInstanceCount": self.instance_count,
        }


@dataclass
class Fleet:
    """The running variants of a configuration."""

    config: Members
    variants: list[Variant]
    shadows: list[Variant]
    networks: list[Interfaces] = field(default_factory=list)
    _open_requests: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    def enter(self) -> None:
        """Notes that a request begins; `leave` must follow."""
        with self._idle:
            self._open_requests += 1

    def leave(self) -> None:
        with self._idle:
            self._open_requests -= 1
            self._idle.notify_all()

    def drain(self, timeout_s: float) -> None:
        """Returns when no request is open, or when `timeout_s` has passed."""
        with self._idle:
            self._idle.wait_for(lambda: self._open_requests == 0, timeout_s)

    def choose(self, target: str | None) -> Variant | None:
        """The variant that answers the next request: the one asked for, or one by weight."""
        if target is not None:
            return next((variant for variant in self.variants if variant.name == target), None)
        weights = [variant.weight for variant in self.variants]
        if sum(weights) <= 0:
            return self.variants[0]
        return random.choices(self.variants, weights)[0]  # noqa: S311 (traffic, not secrets)

    def shadow_of(self, variant: Variant) -> Variant | None:
        """The shadow that gets a copy of this request, by the two weights."""
        if not self.shadows:
            return None
        shadow = self.shadows[0]
        share = shadow.weight / variant.weight if variant.weight else 1.0
        return shadow if random.random() < share else None  # noqa: S311

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """Ends every server, side by side."""
        each(
            [variant.server for variant in [*self.variants, *self.shadows]], lambda s: s.stop(grace_s=grace_s)
        )

    def leave_network(self) -> None:
        """Gives back the interfaces; after `stop`, and not when the server itself is about to end."""
        for network in self.networks:
            network.remove()


def start_fleet(
    platform: Platform,
    scope: Scope,
    config: Members,
    *,
    endpoint: str,
    models: dict[str, tuple[Members, str, Members | None]],
    cancelled: threading.Event,
) -> Fleet:
    """A healthy fleet. `models` gives the container, role and VPC of each model.

    Raises: JobError, with nothing left running.
    """
    started: dict[str, Variant] = {}
    networks: list[Interfaces] = []

    def start(variant: Members) -> None:
        container, role_arn, vpc = models[variant["ModelName"]]
        role = ExecutionRole(scope, role_arn, session_name="SageMaker")
        name = variant["VariantName"]
        instances = variant.get("InitialInstanceCount", 1)
        network = Interfaces(role, vpc, instances=instances, owner=f"Endpoint {endpoint}, variant {name}")
        network.make()
        networks.append(network)
        server = start_server(
            platform,
            container,
            name=f"endpoint/{endpoint}/{name}",
            role=role,
            log_group=f"/aws/sagemaker/Endpoints/{endpoint}",
            log_stream=f"{name}/{instance_id()}",
        )
        started[name] = Variant(
            variant,
            server,
            variant.get("InitialVariantWeight", 1.0),
            instances,
        )
        timeout_s = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_HEALTH_TIMEOUT_S)
        server.wait_until_healthy(f"production variant {name}", timeout_s=timeout_s, cancelled=cancelled)

    production, shadows = config["ProductionVariants"], config.get("ShadowProductionVariants", [])
    try:
        each([*production, *shadows], start)
    except BaseException:
        each([variant.server for variant in started.values()], lambda server: server.stop())
        for network in networks:
            network.remove()
        raise
    return Fleet(
        config,
        [started[variant["VariantName"]] for variant in production],
        [started[variant["VariantName"]] for variant in shadows],
        networks,
    )


def each(items: list[T], action: Callable[[T], object]) -> None:
    """Runs `action` on every item side by side; raises the first error when all have ended."""
    errors: list[BaseException] = []

    def run(item: T) -> None:
        try:
            action(item)
        except BaseException as error:  # noqa: BLE001 (raised again below, in the caller's thread)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
