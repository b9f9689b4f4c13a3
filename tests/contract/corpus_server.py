"""A model server that keeps SageMaker's contract, with the standard library only; each broken one changes one
thing. Payload limits are a hundredth of SageMaker's, as in the tests' limits.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAYLOAD_BYTES = 256 * 1024
ROW_S = 0.001
LONGEST_S = 0.6


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    program: Program

    def parse_request(self) -> bool:
        with self.program.lock:
            self.program.under_way.add(self)
        return super().parse_request()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True  # the client went away
        finally:
            with self.program.lock:
                self.program.under_way.discard(self)

    def do_GET(self) -> None:
        if self.path == "/ping":
            self.ping()
        elif self.path == "/execution-parameters":
            self.parameters()
        else:
            self.answer(405 if self.path == "/invocations" else 404)

    def do_POST(self) -> None:
        if self.path == "/invocations":
            self.invocations()
        else:
            self.answer(404)

    def ping(self) -> None:
        self.answer(200 if self.program.model else 503)

    def parameters(self) -> None:
        self.answer(
            200, b'{"MaxConcurrentTransforms": 10, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 10}'
        )

    def invocations(self) -> None:
        body = self.read_body()
        if self.program.model is None:
            self.answer(503)
        elif len(body) > self.limit():
            self.answer(413)
        elif self.headers["Content-Type"] != "text/csv":
            self.wrong_type()
        elif not body.strip():
            self.empty_body()
        elif self.headers.get("Accept", "*/*") not in ("*/*", "text/csv"):
            self.answer(406)
        else:
            self.predict(body)

    def limit(self) -> int:
        batch_mb = os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB")
        return int(batch_mb) * 1024**2 if batch_mb else PAYLOAD_BYTES

    def predict(self, body: bytes) -> None:
        try:
            sums = [sum(float(cell) for cell in row.split(b",")) for row in body.split()]
        except ValueError:
            self.garbage()
            return
        time.sleep(min(len(sums) * ROW_S, LONGEST_S))
        self.answer(200, "".join(f"{value * self.program.model['scale']}\n" for value in sums).encode())

    def wrong_type(self) -> None:
        self.answer(415)

    def empty_body(self) -> None:
        self.answer(400)

    def garbage(self) -> None:
        self.answer(400)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.read_whole(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def read_whole(self, size: int) -> bytes:
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the client went away")
        return body

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text: str, *values: object) -> None:
        print(text % values, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's looks up the address's name, for seconds
        self.server_name, self.server_port = "model", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        print("a request failed:", sys.exc_info()[1], flush=True)


class Program:
    """Start and end; a broken program overrides a step."""

    handler = Handler
    server = Server

    def __init__(self) -> None:
        self.folder = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"
        self.host = os.environ.get("BIND_HOST", "0.0.0.0")  # noqa: S104 - SageMaker comes from outside
        self.port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
        self.model: dict[str, float] | None = None
        self.lock = threading.Lock()
        self.under_way: set[Handler] = set()
        self.stopping = threading.Event()

    def run(self) -> None:
        handler = type("Bound", (self.handler,), {"program": self})
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        self.prepare()
        with self.server((self.host, self.port), handler) as server:
            threading.Thread(target=self.load, daemon=True).start()
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.stopping.wait()
            server.shutdown()
            self.drain()
        self.end()

    def prepare(self) -> None:
        print("starting", sys.argv[1:], flush=True)

    def load(self) -> None:
        try:
            self.model = json.loads((self.folder / "model.json").read_text())
        except (OSError, ValueError) as error:
            print("no model:", error, flush=True)

    def stop(self) -> None:
        self.stopping.set()

    def drain(self) -> None:
        while self.under_way:
            time.sleep(0.01)

    def end(self) -> None:
        sys.stdout.flush()
        os._exit(0)
