"""A container registry in memory, of the size that a push needs, with Basic or Bearer logins."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal


class RegistryServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, login: str, scheme: Literal["Basic", "Bearer"]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.login = login
        self.scheme = scheme
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uploads = 0
        self.sent = b""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            good = self.headers.get("Authorization") == _basic(self.server.login)
            self._answer(200 if good else 401, json.dumps({"token": "tok"}).encode())
        elif self._allowed():
            self._get()

    def do_HEAD(self) -> None:
        if self._allowed():
            self._answer(200 if self.path.rsplit("/", 1)[1] in self.server.blobs else 404)

    def do_POST(self) -> None:
        if self._allowed():
            self._answer(202, headers={"Location": f"{self.path}1?state=x"})

    def do_PATCH(self) -> None:
        if self._allowed():
            self.server.sent = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(202, headers={"Location": f"{self.path}2"})

    def do_PUT(self) -> None:
        if not self._allowed():
            return
        if "/manifests/" in self.path:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.manifests[self.path.rsplit("/", 1)[1]] = content
        else:
            self.server.uploads += 1
            digest = self.path.rpartition("digest=")[2]
            if digest != f"sha256:{hashlib.sha256(self.server.sent).hexdigest()}":
                self._answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
                return
            self.server.blobs[digest] = self.server.sent
        self._answer(201)

    def _get(self) -> None:
        if self.path == "/v2/":
            self._answer(200)
            return
        manifest = self.server.manifests.get(self.path.rsplit("/", 1)[1])
        if manifest is None:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            return
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        self._answer(200, manifest, headers={"Docker-Content-Digest": digest})

    def _allowed(self) -> bool:
        wanted = _basic(self.server.login) if self.server.scheme == "Basic" else "Bearer tok"
        if self.headers.get("Authorization") == wanted:
            return True
        realm = f'Bearer realm="http://{self.server.host}/token",service="r"'
        challenge = 'Basic realm="r"' if self.server.scheme == "Basic" else realm
        self._answer(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', headers={"WWW-Authenticate": challenge})
        return False

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@contextmanager
def serve_registry(login: str, scheme: Literal["Basic", "Bearer"] = "Basic") -> Iterator[RegistryServer]:
    server = RegistryServer(login, scheme)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
