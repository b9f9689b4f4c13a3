"""HTTP as a model server meets it: timed, on chosen connections, and sometimes badly behaved."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Address:
    host: str
    port: int


# The address of a program that has ended.
NOWHERE = Address("", 0)


@dataclass(frozen=True)
class Reply:
    """An answer. `latency_s` counts from the first byte sent to the last byte read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        return 400 <= self.status < 500


class NoAnswerError(Exception):
    """The server did not answer: no connection, a closed one, silence, or no end within the limits."""


class BoundedSocket(socket.socket):
    """Ends an answer that takes too long as a whole, however often some of it comes, or that is too large."""

    def expect(self, *, timeout_s: float, max_bytes: int) -> None:
        """The limits of the next request and its answer, headers included; the time counts from now."""
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._max_bytes, self._received_bytes = max_bytes, 0
        self.settimeout(timeout_s)

    def recv_into(self, *arguments: Any) -> int:
        try:
            # Zero would mean: do not wait at all.
            self.settimeout(max(self._deadline - time.monotonic(), 0.001))
            count = super().recv_into(*arguments)
        except TimeoutError as error:
            raise NoAnswerError(self._describe_wait()) from error
        self._received_bytes += count
        if time.monotonic() > self._deadline:
            raise NoAnswerError(self._describe_wait())
        if self._received_bytes > self._max_bytes:
            raise NoAnswerError(f"the answer is larger than {self._max_bytes} bytes; no more of it was read")
        return count

    def _describe_wait(self) -> str:
        if self._received_bytes:
            return f"no whole answer within {self._timeout_s:g} s, only {self._received_bytes} bytes of one"
        return f"no answer within {self._timeout_s:g} s"


def connect(
    address: Address, *, timeout_s: float, max_bytes: int = _CHUNK_BYTES
) -> tuple[BoundedSocket, float]:
    """An open connection and the seconds it took; the limits are its first answer's.

    Raises: NoAnswerError.
    """
    if address == NOWHERE:
        raise NoAnswerError("the program has ended")
    started = time.perf_counter()
    try:
        plain = socket.create_connection((address.host, address.port), timeout=timeout_s)
    except OSError as error:
        raise NoAnswerError(f"no connection to port {address.port}: {_reason(error)}") from error
    seconds = time.perf_counter() - started
    opened = BoundedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    opened.expect(timeout_s=timeout_s, max_bytes=max_bytes)
    return opened, seconds


class Connection:
    """One connection that requests are sent on, one after another."""

    def __init__(self, address: Address, *, timeout_s: float, max_bytes: int):
        self._http = http.client.HTTPConnection(address.host, address.port)
        self._address = address
        self._timeout_s, self._max_bytes = timeout_s, max_bytes

    def __enter__(self) -> Connection:
        self._socket, _ = connect(self._address, timeout_s=self._timeout_s)
        self._http.sock = self._socket
        # A server that closes the connection is not asked a second time behind the check's back.
        self._http.auto_open = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> Reply:
        """The answer; also one that comes before the whole body was taken. Raises: NoAnswerError."""
        started = time.perf_counter()
        if self._http.sock is not None:
            self._socket.expect(timeout_s=self._timeout_s, max_bytes=self._max_bytes)
        try:
            try:
                self._http.request(
                    method,
                    path,
                    body=_chunks(body) if chunked and body else body,
                    headers=dict(headers or {}),
                    encode_chunked=chunked,
                )
            except (BrokenPipeError, ConnectionResetError):
                # Refused in the middle of the body; the reason may be there to be read.
                if body is None:
                    raise
            response = self._http.getresponse()
            content = _read_body(response)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(_reason(error)) from error
        return Reply(response.status, dict(response.headers.items()), content, time.perf_counter() - started)


def send(
    address: Address,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
    timeout_s: float,
    max_bytes: int,
) -> Reply:
    """The answer to one request on a connection of its own. Raises: NoAnswerError."""
    with Connection(address, timeout_s=timeout_s, max_bytes=max_bytes) as connection:
        return connection.send(method, path, body, headers=headers, chunked=chunked)


def send_pipelined(
    address: Address, requests: list[bytes], *, timeout_s: float, max_bytes: int
) -> list[Reply]:
    """The answers to requests that are sent without waiting, read in order. Raises: NoAnswerError.

    The limits are those of all the answers together.
    """
    opened, _ = connect(address, timeout_s=timeout_s, max_bytes=max_bytes)
    started = time.perf_counter()
    with opened:
        try:
            opened.sendall(b"".join(requests))
            reader = _SharedReader(opened)
            return [_read_reply(reader, started) for _ in requests]
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(_reason(error)) from error


def read_reply(opened: socket.socket, *, started: float) -> Reply:
    """The answer that comes on an open socket. Raises: NoAnswerError."""
    try:
        return _read_reply(_SharedReader(opened), started)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(_reason(error)) from error


def render_request(method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request with a length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: model", *(f"{k}: {v}" for k, v in headers.items())]
    if method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class _SharedReader:
    """Lets http.client read several responses from one socket without losing what it read ahead."""

    def __init__(self, opened: socket.socket):
        self._file = opened.makefile("rb")

    def makefile(self, _mode: str) -> _SharedReader:
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def close(self) -> None:
        """A response that ends does not end the connection."""

    def flush(self) -> None:
        """There is nothing to flush."""


def _read_reply(reader: _SharedReader, started: float) -> Reply:
    response = http.client.HTTPResponse(reader)  # type: ignore[arg-type]
    response.begin()
    content = _read_body(response)
    return Reply(response.status, dict(response.headers.items()), content, time.perf_counter() - started)


def _read_body(response: http.client.HTTPResponse) -> bytes:
    """The whole body, piece by piece: at once, memory would be taken for as much as an answer announces."""
    try:
        body = b"".join(iter(lambda: response.read(_CHUNK_BYTES), b""))
    except ValueError as error:
        raise http.client.HTTPException(f"a chunk has no size: {error}") from error
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    return body


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _CHUNK_BYTES):
        yield body[start : start + _CHUNK_BYTES]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
