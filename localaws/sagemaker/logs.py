"""What programs print, shipped to CloudWatch Logs with the permissions of their role."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

logger = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.25
MAX_EVENTS = 1000
MAX_MESSAGE_CHARACTERS = 100_000


class LogStream:
    """One log stream. Lines are sent in batches by a thread that ends with `close`."""

    def __init__(self, client: Any, group: str, stream: str):
        self._client = client
        self._group = group
        self._stream = stream
        self._lines: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._ship, daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        if line:
            self._lines.put((round(time.time() * 1000), line[:MAX_MESSAGE_CHARACTERS]))

    def close(self) -> None:
        """Returns when every line is sent."""
        self._lines.put(None)
        self._thread.join()

    def _ship(self) -> None:
        try:
            self._create()
            while (batch := self._next_batch()) is not None:
                if batch:
                    self._put(batch)
        except (ClientError, BotoCoreError) as error:
            # On AWS a role without the permission loses the job's logs, not the job.
            logger.warning("no logs in %s/%s: %s", self._group, self._stream, error)

    def _next_batch(self) -> list[tuple[int, str]] | None:
        """The lines that came within an interval; None after the last."""
        first = self._lines.get()
        if first is None:
            return None
        batch = [first]
        deadline = time.monotonic() + FLUSH_INTERVAL_S
        while len(batch) < MAX_EVENTS:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if line is None:
                self._lines.put(None)
                break
            batch.append(line)
        return batch

    def _create(self) -> None:
        """The group only where it is absent: a role whose group was made for it need not make one."""
        try:
            self._create_stream()
        except self._client.exceptions.ResourceNotFoundException:
            with suppress(self._client.exceptions.ResourceAlreadyExistsException):
                self._client.create_log_group(logGroupName=self._group)
            self._create_stream()

    def _create_stream(self) -> None:
        with suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)

    def _put(self, batch: list[tuple[int, str]]) -> None:
        events = [{"timestamp": at, "message": line} for at, line in batch]
        self._client.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=events)
