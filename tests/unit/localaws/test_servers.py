"""A model server gets healthy in time, or says why not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.sagemaker.servers import HealthError, ModelServer


class Program:
    """A program that runs, or has ended; `status` is what its /ping answers."""

    def __init__(self, *, status: int = 200, exit_code: int | None = None):
        self.exit_code = exit_code
        handler = _handler(status)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def wait(self, _timeout_s: float | None) -> int | None:
        return self.exit_code

    def close(self) -> None:
        self._server.shutdown()


def _handler(status: int) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    return Handler


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for program in made:
        program.close()


def check(program: Program, *, timeout_s: float = 0.3) -> None:
    server = ModelServer(None, None, Path(), program, None)  # type: ignore[arg-type]
    server.wait_until_healthy("production variant main", timeout_s=timeout_s, cancelled=threading.Event())


def test_healthy_server_is_taken_at_once(programs: list[Program]) -> None:
    programs.append(Program())

    check(programs[0])


def test_server_that_never_gets_healthy_is_given_up(programs: list[Program]) -> None:
    programs.append(Program(status=503))

    with pytest.raises(HealthError, match="production variant main did not pass the ping health check"):
        check(programs[0])


def test_program_that_ended_fails_without_waiting(programs: list[Program]) -> None:
    programs.append(Program(status=503, exit_code=3))

    with pytest.raises(HealthError, match="ended with exit code 3"):
        check(programs[0], timeout_s=60)
