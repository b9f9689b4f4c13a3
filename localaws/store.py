"""What the services of this package hold: resources by account, region, kind and name, in memory."""

from __future__ import annotations

import threading
from typing import NamedTuple

from localaws.schema import Members


class Scope(NamedTuple):
    """Whose resources, and where."""

    account_id: str
    region: str


class Store:
    """Resources as the members that Describe shows. Its lock guards them and everything in them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._resources: dict[Scope, dict[str, dict[str, Members]]] = {}
        self._tags: dict[Scope, dict[str, dict[str, str]]] = {}

    def find(self, scope: Scope, kind: str, name: str) -> Members | None:
        return self._resources.get(scope, {}).get(kind, {}).get(name)

    def add(self, scope: Scope, kind: str, name: str, members: Members) -> None:
        with self.lock:
            self._resources.setdefault(scope, {}).setdefault(kind, {})[name] = members

    def remove(self, scope: Scope, kind: str, name: str) -> None:
        with self.lock:
            self._resources.get(scope, {}).get(kind, {}).pop(name, None)

    def all(self, scope: Scope, kind: str) -> list[Members]:
        with self.lock:
            return list(self._resources.get(scope, {}).get(kind, {}).values())

    def tags(self, scope: Scope, arn: str) -> dict[str, str] | None:
        """The tags of a resource, to read or to change; None when there is no such resource."""
        return self._tags.get(scope, {}).get(arn)

    def add_tags(self, scope: Scope, arn: str, tags: dict[str, str]) -> None:
        """Makes a resource known to tagging, with or without tags."""
        self._tags.setdefault(scope, {}).setdefault(arn, {}).update(tags)

    def remove_tags(self, scope: Scope, arn: str) -> None:
        self._tags.get(scope, {}).pop(arn, None)

    def tagged(self, scope: Scope) -> list[tuple[str, dict[str, str]]]:
        """Every resource that has tags, with them."""
        with self.lock:
            return [(arn, dict(tags)) for arn, tags in self._tags.get(scope, {}).items() if tags]
