"""The neighbours of a model in a pipeline, with the standard library only: `pipeline_stage.py before|after`.

`before` makes rows of centimetres from a form in millimetres; `after` makes a sentence from labels. Both
listen on SAGEMAKER_BIND_TO_PORT, as each container of a pipeline must.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def before(content_type: str, body: bytes) -> tuple[str, bytes]:
    assert content_type == "application/json", content_type
    rows = [",".join(str(flower[name] / 10) for name in COLUMNS) for flower in json.loads(body)["in_mm"]]
    return "text/csv; charset=utf-8", "\n".join(rows).encode()


def after(content_type: str, body: bytes) -> tuple[str, bytes]:
    assert content_type.partition(";")[0] == "text/csv", content_type
    return "text/plain", " and ".join(f"a {label}" for label in body.decode().split()).encode()


STAGES: dict[str, Callable[[str, bytes], tuple[str, bytes]]] = {"before": before, "after": after}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer("text/plain", b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(*STAGES[sys.argv[1]](self.headers["Content-Type"], body))

    def answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address = (os.environ.get("BIND_HOST", "0.0.0.0"), int(os.environ["SAGEMAKER_BIND_TO_PORT"]))  # noqa: S104 - in a container
    ThreadingHTTPServer(address, Handler).serve_forever()
