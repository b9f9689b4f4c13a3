"""How long a worker waits for what its clients still have to send, with one timer for all of them.

One for each request, as `asyncio.timeout` has it, takes longer than the prediction of a row does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Patience:
    """The requests that wait for their client, the longest waiting first."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._look_s = limit_s / 60
        self._since: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends what has waited for too long; from now on."""
        too_long_since = loop.time() - self._limit_s
        for task, since in self._since.items():
            if since > too_long_since:
                break
            self._late.add(task)
            task.cancel()
        loop.call_later(self._look_s, self.watch, loop)

    async def wait(self, awaited: Awaitable[T]) -> T:
        """What `awaited` gives. Raises: TimeoutError if that takes too long."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._since[task] = asyncio.get_running_loop().time()
        try:
            return await awaited
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.remove(task)
            task.uncancel()
            raise TimeoutError from None
        finally:
            del self._since[task]
