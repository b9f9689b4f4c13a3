"""A second good model server, as many a team writes it: Flask, behind waitress."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

from flask import Flask, Response, request
from waitress.server import BaseWSGIServer, create_server

PAYLOAD_BYTES = 256 * 1024

app = Flask(__name__)
model_file = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model/model.json"


@app.get("/ping")
def ping() -> Response:
    return Response(status=200 if "scale" in app.config else 503)


@app.post("/invocations")
def invocations() -> Response:
    if request.mimetype not in ("application/json", "text/csv"):
        return Response("send text/csv", 415)
    body = request.get_data()
    if len(body) > batch_bytes():
        return Response("too large", 413)
    try:
        rows = [[float(cell) for cell in line.split(b",")] for line in body.split()]
    except ValueError as error:
        return Response(str(error), 400)
    if not rows:
        return Response("empty", 400)
    time.sleep(min(len(rows) * 0.001, 0.6))
    scale = app.config["scale"]
    return Response("".join(f"{sum(row) * scale}\n" for row in rows), content_type="text/csv")


def batch_bytes() -> int:
    batch_mb = os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB")
    return int(batch_mb) * 1024**2 if batch_mb else PAYLOAD_BYTES


def load() -> None:
    try:
        app.config["scale"] = json.loads(model_file.read_text())["scale"]
    except (OSError, ValueError) as error:
        print("no model:", error, flush=True)


def stop(server: BaseWSGIServer) -> None:
    """Ends the program when no connection has a request under way; waitress itself would not wait."""
    while any(c.request or c.requests or c.total_outbufs_len for c in list(server.active_channels.values())):
        time.sleep(0.01)
    os._exit(0)


def main() -> None:
    load()
    server = create_server(
        app,
        host=os.environ.get("BIND_HOST", "0.0.0.0"),  # noqa: S104 - SageMaker comes from outside
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        threads=16,
        connection_limit=1000,
    )
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop, args=[server]).start())
    print("serving", flush=True)
    server.run()


if __name__ == "__main__":
    main()
