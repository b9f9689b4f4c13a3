"""A started `serve`, and what happened from its start to its first healthy answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.conformance import client
from pipeline.conformance.check import BreachError
from pipeline.conformance.client import NoAnswerError, Reply
from pipeline.conformance.limits import Limits
from pipeline.conformance.program import Program
from pipeline.conformance.sample import Sample

_POLL_S = 0.02
_LAST_LINES = 3
# A server that is too slow is measured, not taken for dead.
_PATIENCE = 5


class Server:
    """Requests to one running server."""

    def __init__(self, program: Program, limits: Limits):
        self.program = program
        self.address = program.address
        self._limits = limits

    def ping(self) -> Reply:
        """Raises: NoAnswerError, after more than the time that SageMaker gives."""
        return client.send(
            self.address,
            "GET",
            "/ping",
            timeout_s=self._limits.ping_s * _PATIENCE,
            max_bytes=self._limits.answer_bytes,
        )

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        chunked: bool = False,
    ) -> Reply:
        """The answer to one request. Raises: BreachError if there is none."""
        try:
            return client.send(
                self.address,
                method,
                path,
                body,
                headers=headers,
                chunked=chunked,
                timeout_s=self._limits.answer_s,
                max_bytes=self._limits.answer_bytes,
            )
        except NoAnswerError as error:
            raise BreachError(f"{method} {path} was not answered: {error}{self.describe_end()}") from error

    def invoke(self, body: bytes, *, content_type: str, headers: dict[str, str] | None = None) -> Reply:
        """The answer to a body. Raises: BreachError if there is none."""
        return self.send(
            "POST", "/invocations", body, headers={"Content-Type": content_type, **(headers or {})}
        )

    def runs(self) -> bool:
        return self.program.wait(0) is None

    def answers(self) -> bool:
        try:
            self.ping()
        except NoAnswerError:
            return False
        return True

    def check_alive(self, after: str) -> None:
        """Raises: BreachError unless the server is as healthy as before, a moment later."""
        time.sleep(self._limits.settle_s)
        reply = self.send("GET", "/ping")
        if reply.status != 200:
            raise BreachError(f"after {after}, /ping is answered {reply.status}")

    def describe_end(self) -> str:
        """What is to be said of a program that has ended; nothing while it runs."""
        code = self.program.wait(0)
        return "" if code is None else f"; the program ended with exit code {code}{self.last_lines()}"

    def output(self) -> str:
        return self.program.output(max_bytes=self._limits.text_bytes)

    def last_lines(self) -> str:
        """What it said last, but for the access log of the pings that waited for it."""
        lines = [line.strip() for line in self.output().splitlines()]
        lines = [line for line in lines if line and "/ping" not in line]
        return f" ({' / '.join(lines[-_LAST_LINES:])[-500:]})" if lines else ""


@dataclass(frozen=True)
class Start:
    """A start, observed. Times are seconds since it; None for what did not happen.

    `last_ping` is what /ping said last, `first_answer` that of the good request right after the first 200.
    """

    server: Server
    listening_s: float | None = None
    healthy_s: float | None = None
    exit_code: int | None = None
    last_ping: str = "nothing listened"
    first_answer: Reply | str | None = None


def observe_start(
    server: Server, *, timeout_s: float, sample: Sample | None, listens_within_s: float | None = None
) -> Start:
    """Waits until /ping is 200, the program has ended or the time is over.

    With `listens_within_s` the time counts from when it listens, which it may take that long for.
    """
    started = time.monotonic()
    deadline = started + (listens_within_s or timeout_s)
    listening_s: float | None = None
    last_ping = "nothing listened"
    while time.monotonic() < deadline:
        code = server.program.wait(0)
        if code is not None:
            return Start(server, listening_s, exit_code=code, last_ping=last_ping)
        if listening_s is None and _listens(server):
            listening_s = time.monotonic() - started
            if listens_within_s is not None:
                deadline = time.monotonic() + timeout_s
        if listening_s is not None:
            try:
                status = server.ping().status
            except NoAnswerError as error:
                last_ping = str(error)
            else:
                last_ping = f"/ping answered {status}"
                if status == 200:
                    healthy_s = time.monotonic() - started
                    return Start(
                        server, listening_s, healthy_s, None, last_ping, first_answer(server, sample)
                    )
        time.sleep(_POLL_S)
    return Start(server, listening_s, last_ping=last_ping)


def _listens(server: Server) -> bool:
    try:
        client.connect(server.address, timeout_s=2)[0].close()
    except NoAnswerError:
        return False
    return True


def first_answer(server: Server, sample: Sample | None) -> Reply | str | None:
    """The answer to the good request, or why there is none; None where no request is known to be good."""
    if sample is None:
        return None
    try:
        return server.invoke(sample.body, content_type=sample.content_type)
    except BreachError as failure:
        return str(failure)
