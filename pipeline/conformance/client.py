"""HTTP as a model server meets it: timed, on chosen connections, and sometimes badly behaved."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Address:
    host: str
    port: int


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
    """The server did not answer: no connection, a closed one, or silence."""


def connect(address: Address, *, timeout_s: float) -> tuple[socket.socket, float]:
    """An open connection and the seconds it took. Raises: NoAnswerError."""
    started = time.perf_counter()
    try:
        opened = socket.create_connection((address.host, address.port), timeout=timeout_s)
    except OSError as error:
        raise NoAnswerError(f"no connection to port {address.port}: {_reason(error)}") from error
    return opened, time.perf_counter() - started


class Connection:
    """One connection that requests are sent on, one after another."""

    def __init__(self, address: Address, *, timeout_s: float):
        self._http = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
        self._address = address

    def __enter__(self) -> Connection:
        self._http.sock, _ = connect(self._address, timeout_s=self._http.timeout or 60)
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
            content = response.read()
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
) -> Reply:
    """The answer to one request on a connection of its own. Raises: NoAnswerError."""
    with Connection(address, timeout_s=timeout_s) as connection:
        return connection.send(method, path, body, headers=headers, chunked=chunked)


def send_pipelined(address: Address, requests: list[bytes], *, timeout_s: float) -> list[Reply]:
    """The answers to requests that are sent without waiting, read in order. Raises: NoAnswerError."""
    opened, _ = connect(address, timeout_s=timeout_s)
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
    content = response.read()
    return Reply(response.status, dict(response.headers.items()), content, time.perf_counter() - started)


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _CHUNK_BYTES):
        yield body[start : start + _CHUNK_BYTES]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
