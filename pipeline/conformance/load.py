"""Many requests at once: to see how a server is beside them, or what becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.conformance.check import BreachError
from pipeline.conformance.client import Reply
from pipeline.conformance.sample import Sample
from pipeline.conformance.server import Server

_CLIENTS = 8


@dataclass
class Load:
    sent: int = 0


@contextmanager
def under_load(server: Server, sample: Sample, *, warm_up_s: float) -> Iterator[Load]:
    """Clients send the sample one after another, from `warm_up_s` before the block until it ends."""
    load, over = Load(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                server.invoke(sample.body, content_type=sample.content_type)
            except BreachError:
                # Whether requests are answered is another check's question; this one loads.
                over.wait(0.01)
            load.sent += 1

    with ThreadPoolExecutor(_CLIENTS) as pool:
        for _ in range(_CLIENTS):
            pool.submit(ask)
        try:
            over.wait(warm_up_s)
            yield load
        finally:
            over.set()


def send_at_once(send: Callable[[], Reply], *, count: int) -> list[Reply | BreachError]:
    """What became of so many requests sent at the same time."""

    def attempt() -> Reply | BreachError:
        try:
            return send()
        except BreachError as failure:
            return failure

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(attempt) for _ in range(count)]]
