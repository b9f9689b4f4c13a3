"""Requests leave no cycles of garbage: the server has the collector switched off (server.stop_collecting)."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from model_examples import AS_CLASSIFICATION, encode, random_data, read_example

from model_src.app import ModelApp
from model_src.artefact import write_artefact
from model_src.media import CSV, JSON, JSON_LINES
from model_src.server import load_model, stop_collecting
from model_src.training import fit_artefact

GOOD = {
    CSV: b"50,2,gas,north\n",
    JSON: b'[[50, 2, "gas", "north"]]',
    JSON_LINES: b'[50, 2, "gas", "north"]\n',
}


class Headers(dict[str, str]):
    """Granian's headers."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


class Exchange:
    """Granian's scope and protocol in one."""

    method = "POST"

    def __init__(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.path, self.body, self.headers = path, body, Headers(headers)
        self.status = 0

    async def __call__(self) -> bytes:
        return self.body

    def response_bytes(self, status: int, _headers: object, _body: bytes) -> None:
        self.status = status


def exchanges() -> list[tuple[int, Exchange]]:
    """One request of each sort, and the status of its answer."""
    asked: list[tuple[int, str, bytes, str]] = [
        (404, "/nothing", b"", JSON),
        (415, "/invocations", b"", "a/b"),
    ]
    for kind, good in GOOD.items():
        many = good * 20_000 if kind != JSON else b"[" + b",".join([good[1:-1]] * 20_000) + b"]"
        bodies = {200: (good, many), 400: (b"", b"[", b"[[1e40, 1, 1, 1]]", b'"a,1', many + b"[")}
        asked += [(status, "/invocations", body, kind) for status in bodies for body in bodies[status]]
    return [
        (status, Exchange(path, body, {"content-type": kind, "content-length": str(len(body))}))
        for status, path, body, kind in asked
    ]


@pytest.fixture
def app(tmp_path: Path) -> ModelApp:
    model = read_example(tmp_path, *AS_CLASSIFICATION)
    trained, _ = fit_artefact(model, encode(tmp_path, model, random_data("classification")), commit="")
    write_artefact(trained, tmp_path / "served")
    return ModelApp(load_model(tmp_path / "served"))


async def answer_all(app: ModelApp, asked: list[tuple[int, Exchange]]) -> None:
    for status, exchange in asked:
        await app.__rsgi__(exchange, exchange)
        assert exchange.status == status, exchange.body[:100]


def test_no_request_leaves_garbage_that_only_the_collector_would_find(app: ModelApp) -> None:
    asked = exchanges()

    async def count_garbage() -> int:
        app.__rsgi_init__(asyncio.get_running_loop())
        await answer_all(app, asked)  # what is made once
        gc.collect()
        for _ in range(3):
            await answer_all(app, asked)
        return gc.collect()

    gc.disable()
    try:
        garbage = asyncio.run(count_garbage())
    finally:
        gc.enable()

    assert garbage < len(asked)


def test_a_server_does_not_collect_garbage_while_it_reads(app: ModelApp) -> None:
    """What is there is frozen; the lists of a body, which are millions, start no collection."""
    del app
    runs: list[Any] = []
    gc.callbacks.append(lambda *call: runs.append(call))
    try:
        stop_collecting()
        runs.clear()
        kept = [[] for _ in range(100_000)]
    finally:
        gc.callbacks.pop()
        gc.unfreeze()
        gc.enable()

    assert kept
    assert not runs
