"""AWS of the size that listing and deleting need: clients made of plain lists, paginators of one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import jmespath  # type: ignore[import-untyped]

from pipeline.aws import Aws


class Pages:
    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield self._answer

    def search(self, expression: str) -> Iterator[Any]:
        found: Any = jmespath.search(expression, self._answer)
        return iter(found if isinstance(found, list) else [found])


class Client:
    """Answers listings from `answers`; every other call is written down in `calls`."""

    def __init__(self, answers: dict[str, Callable[..., dict[str, Any]]]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self.answers[operation](**request) if operation in self.answers else {}

    def get_paginator(self, operation: str) -> Any:
        client = self

        class Paginator:
            def paginate(self, **request: Any) -> Pages:
                return Pages(client.answer(operation, request))

        return Paginator()

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.calls.append((operation, request))
            return self.answer(operation, request)

        return call


class FakeAws:
    def __init__(self, **clients: Client) -> None:
        self._clients = {name.replace("_", "-"): client for name, client in clients.items()}

    def client(self, service: str) -> Client:
        return self._clients.setdefault(service, Client({}))

    def as_aws(self) -> Aws:
        return cast(Aws, self)
