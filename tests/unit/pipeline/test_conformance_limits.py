"""check-image's own limits: nothing that an image answers, writes or leaves behind hangs or fills it."""

from __future__ import annotations

import io
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.conformance import client
from pipeline.conformance.check import BreachError
from pipeline.conformance.client import NOWHERE, Address, NoAnswerError
from pipeline.conformance.containers import ContainerProgram
from pipeline.conformance.invocation import check_execution_parameters
from pipeline.conformance.limits import Limits
from pipeline.conformance.processes import ProcessRuntime
from pipeline.conformance.program import Launch
from pipeline.conformance.server import Server

HEAD = b"HTTP/1.1 200 OK\r\n"
MAX_BYTES = 100_000


@contextmanager
def answering(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[Address]:
    """A server that answers one request by this function, which gives up when the event is set."""
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            opened, _ = listener.accept()
            with opened:
                opened.recv(65536)
                answer(opened, over)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield Address("127.0.0.1", listener.getsockname()[1])
        finally:
            over.set()
            thread.join(30)


def drip(opened: socket.socket, over: threading.Event) -> None:
    opened.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
    while not over.wait(0.05):
        opened.sendall(b"x")


def say(head: bytes, then: bytes = b"") -> Callable[[socket.socket, threading.Event], None]:
    """Says the head and, as long as anybody listens, the other bytes."""

    def answer(opened: socket.socket, over: threading.Event) -> None:
        opened.sendall(HEAD + head)
        while then and not over.is_set():
            opened.sendall(then)

    return answer


def ask(address: Address, *, timeout_s: float = 30) -> client.Reply:
    return client.send(address, "GET", "/", timeout_s=timeout_s, max_bytes=MAX_BYTES)


def test_an_answer_that_drips_is_none_after_the_time_of_a_whole_one() -> None:
    with answering(drip) as address, pytest.raises(NoAnswerError, match=r"no whole answer within 0\.5 s"):
        ask(address, timeout_s=0.5)


@pytest.mark.parametrize(
    "head",
    [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"Content-Length: 1000000000000\r\n\r\n"],
    ids=["until it closes", "a chunk below zero", "announced"],
)
def test_an_answer_without_end_is_not_read_to_the_end(head: bytes) -> None:
    with answering(say(head, then=bytes(65536))) as address, pytest.raises(NoAnswerError):
        ask(address)


def test_an_answer_that_is_too_large_is_named_so() -> None:
    with (
        answering(say(b"\r\n", then=bytes(65536))) as address,
        pytest.raises(NoAnswerError, match=r"larger than 100000 bytes"),
    ):
        ask(address)


def test_an_answer_that_breaks_off_is_none() -> None:
    with (
        answering(say(b"Content-Length: 10\r\n\r\nhalf")) as address,
        pytest.raises(NoAnswerError, match="IncompleteRead"),
    ):
        ask(address)


@dataclass
class Answering:
    """A subject whose server says one thing to everybody."""

    body: bytes

    def server(self) -> Answering:
        return self

    def send(self, _method: str, _path: str) -> client.Reply:
        return client.Reply(200, {}, self.body, 0)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"BatchStrategy": ' + b"[" * 900 + b"]" * 900 + b"}"])
def test_execution_parameters_that_are_nested_too_deep_are_a_finding(body: bytes) -> None:
    with pytest.raises(BreachError, match=r"no JSON that can be read|BatchStrategy is"):
        check_execution_parameters(Answering(body))  # type: ignore[arg-type]


@dataclass
class EndedContainer:
    """A container of the engine's client that has ended, with a large failure file and a long log."""

    attrs: dict[str, Any] = field(
        default_factory=lambda: {"NetworkSettings": {"Networks": {"b": {"IPAddress": ""}}}}
    )
    fetched_bytes: int = 0

    def reload(self) -> None:
        pass

    def get_archive(self, _path: str) -> tuple[Iterator[bytes], dict[str, Any]]:
        return self._archive(), {}

    def _archive(self) -> Iterator[bytes]:
        member = tarfile.TarInfo("failure")
        member.size = 100 * 1024**2
        yield member.tobuf()
        for _ in range(100):
            self.fetched_bytes += 1024**2
            yield b"x" * 1024**2
        yield bytes(io.DEFAULT_BUFFER_SIZE)

    def logs(self, *, stream: bool, follow: bool, tail: int) -> Iterator[bytes]:
        assert stream
        assert not follow
        assert tail
        yield b"first" + b"." * 10_000
        yield b"last"


def test_a_container_that_has_ended_has_no_address() -> None:
    program = ContainerProgram(EndedContainer(), 8080)  # type: ignore[arg-type]

    assert program.address == NOWHERE
    with pytest.raises(NoAnswerError, match="the program has ended"):
        ask(program.address)
    with pytest.raises(BreachError, match="the program has ended"):
        client_of_ended(program)


def client_of_ended(program: ContainerProgram) -> None:
    program.wait = lambda _: 1  # type: ignore[method-assign]
    Server(program, Limits()).send("GET", "/ping")


def test_of_a_container_only_so_much_is_read() -> None:
    container = EndedContainer()
    program = ContainerProgram(container, 8080)  # type: ignore[arg-type]

    assert program.read("output/failure", max_bytes=5000) == b"x" * 5000
    assert container.fetched_bytes <= 2 * 1024**2
    assert program.output(max_bytes=100) == "." * 96 + "last"


def write_program(folder: Path, script: str) -> Path:
    program = folder / "serve"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (folder / "ml").mkdir()
    return folder


def test_of_a_process_only_so_much_is_read(tmp_path: Path) -> None:
    script = "mkdir $SAGEMAKER_BASE_DIR/output; echo 123456789 | tee $SAGEMAKER_BASE_DIR/output/failure"
    runtime = ProcessRuntime(write_program(tmp_path, script))
    try:
        program = runtime.start(Launch("serve", tmp_path / "ml"))

        assert program.wait(30) == 0
        assert program.read("output/failure", max_bytes=4) == b"1234"
        assert program.output(max_bytes=4) == "789\n"
    finally:
        runtime.close()


def test_a_child_in_a_session_of_its_own_ends_with_the_program(tmp_path: Path) -> None:
    script = "setsid sh -c 'echo $$ >$SAGEMAKER_BASE_DIR/child; exec sleep 600' & wait"
    runtime = ProcessRuntime(write_program(tmp_path, script))
    try:
        program = runtime.start(Launch("serve", tmp_path / "ml"))
        while not (pid := program.read("child", max_bytes=100)):
            assert program.wait(0.01) is None
        assert Path(f"/proc/{int(pid)}").exists()

        program.remove()

        assert not is_running(int(pid))
    finally:
        runtime.close()


def is_running(pid: int) -> bool:
    """Not if it only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
