"""A proxy before the local AWS that holds a counted call: who asked dies at that call on any machine."""

from __future__ import annotations

import http.client
import re
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local_aws import LocalAws

from localaws.settings import HOST

TIMEOUT_S = 300
# The hop's own; `Expect` was answered when the body was read.
HOP_HEADERS = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}
READ_ONLY = re.compile(r"(Get|List|Describe|Head|Lookup|Search|Validate|AssumeRole)")


class At(Enum):
    """How far a held call gets."""

    REQUEST = "AWS never sees it"
    UPLOAD = "AWS sees half of what it brings"
    ANSWER = "AWS has done it, and nobody hears"


@dataclass(frozen=True)
class Call:
    """`name` is the operation where the protocol tells it, and for S3 and other REST calls the method."""

    name: str
    path: str

    @property
    def is_write(self) -> bool:
        return self.name not in ("GET", "HEAD") and not READ_ONLY.match(self.name)

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


@dataclass
class Hold:
    """The n-th call that fits is held until this is let go; then its connection ends without an answer."""

    pattern: re.Pattern[str]
    at: At
    times: int
    writes_only: bool
    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, call: Call) -> bool:
        if (self.writes_only and not call.is_write) or not self.pattern.search(str(call)):
            return False
        with self._lock:
            self._seen += 1
            return self._seen == self.times

    def stop(self) -> None:
        self.reached.set()
        self.let_go.wait(TIMEOUT_S)


class Wire:
    """Where clients are pointed instead of the local AWS."""

    def __init__(self, aws: LocalAws, port: int):
        self.port = port
        self.calls: list[Call] = []
        self.upstream = aws.settings.port
        self.context = ssl.create_default_context(cafile=str(aws.settings.ca_file))
        self.holds: list[Hold] = []

    @property
    def endpoint(self) -> str:
        return f"https://{HOST}:{self.port}"

    @contextmanager
    def hold(self, pattern: str, *, at: At, times: int = 1, writes_only: bool = False) -> Iterator[Hold]:
        hold = Hold(re.compile(pattern), at, times, writes_only)
        self.holds.append(hold)
        try:
            yield hold
        finally:
            self.holds.remove(hold)
            hold.let_go.set()


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wire: Wire

    def relay(self) -> None:
        body = self._read_body()
        call = _describe(self.command, self.path, self.headers.get("X-Amz-Target", ""), body)
        self.wire.calls.append(call)
        hold = next((hold for hold in self.wire.holds if hold.takes(call)), None)
        upstream = http.client.HTTPSConnection(HOST, self.wire.upstream, context=self.wire.context)
        try:
            if hold and hold.at is At.REQUEST:
                return self._end(hold)
            self._send(upstream, body[: len(body) // 2] if hold and hold.at is At.UPLOAD else body, len(body))
            if hold and hold.at is At.UPLOAD:
                return self._end(hold)
            response = upstream.getresponse()
            answer = response.read()
            if hold:
                return self._end(hold)
            self._answer(response, answer)
        except (ConnectionError, ssl.SSLError):
            # Who asked was killed.
            self.close_connection = True
        finally:
            upstream.close()

    def __getattr__(self, name: str) -> Any:
        """What the base class calls for each method: `do_GET` and so on."""
        if name.startswith("do_"):
            return self.relay
        raise AttributeError(name)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size_bytes := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size_bytes))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _end(self, hold: Hold) -> None:
        hold.stop()
        self.close_connection = True

    def _send(self, upstream: http.client.HTTPSConnection, body: bytes, size_bytes: int) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_HEADERS:
                upstream.putheader(name, value)
        upstream.putheader("Content-Length", str(size_bytes))
        upstream.endheaders(body or None)

    def _answer(self, response: http.client.HTTPResponse, answer: bytes) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(answer))
        if length is not None and response.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing: the local AWS writes down what it was asked."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that was killed ends its connections as it likes.
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


def _describe(method: str, path: str, target: str, body: bytes) -> Call:
    parts = urlsplit(path)
    name = target.rpartition(".")[2] or method
    if not target and body.startswith(b"Action="):
        name = parse_qs(body.decode())["Action"][0]
    return Call(name, parts.path + (f"?{parts.query}" if parts.query else ""))


@contextmanager
def open_wire(aws: LocalAws, port: int) -> Iterator[Wire]:
    wire = Wire(aws, port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(aws.settings.certificate_file, aws.settings.key_file)
    handler = type("Relay", (_Relay,), {"wire": wire})
    with _Server((HOST, port), handler) as server:
        # The handshake belongs to the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            server.shutdown()
            thread.join()
