"""Hostile requests by the hundred thousand against the server: no 5xx, no dead worker, no invalid JSON out.

    python benchmarks/fuzz.py [--requests 200000] [--seed 0] [--port 5098] [--model penguins]

Trains the model, serves it with two workers, and sends requests made of right ones: bytes flipped, parts
doubled, dropped and spliced, hostile numbers and keys put in, headers and paths exchanged, and one in a
hundred that is no HTTP at all. Writes build/bench/fuzz.json and ends with 1 if any answer was wrong.
fuzz_parsers.py fuzzes the parsers alone, by the code that bodies reach.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from deployment import write_result
from processes import tree

ROOT = Path(__file__).resolve().parent.parent
PIPELINED = 16
CSV, JSON, LINES = b"text/csv", b"application/json", b"application/jsonlines"
TYPES: Final = (
    CSV,
    JSON,
    LINES,
    b"application/x-npy",
    b"text/csv; charset=latin-1",
    b"",
    b"application/json;",
)
ACCEPTS: Final = (
    *(b"*/*", CSV, JSON, LINES, b"text/*;q=0.5, application/json;q=x", b"image/png", b"*/*;q=0"),
    b"application/json; output=predicted_label+labels",
    b"text/csv; output=probabilities",
    b"text/csv; output=nothing",
)
TOKENS: Final = (
    *(
        b"NaN",
        b"Infinity",
        b"-1e999",
        b"1e999",
        b"1e39",
        b"1" * 400,
        b"0x10",
        b"1_0",
        b"\xd9\xa3",
        b"null",
        b"true",
    ),
    *(
        b'""',
        b'"',
        b"\\",
        b"\\u0000",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\n\n",
        b",",
        b",,",
    ),
    *(b"[", b"]", b"{", b"}", b"[" * 2000, b'{"a":' * 600, b":", b'{"instances":', b'"instances":[],', b" "),
)


def seeds(rows: list[dict[str, Any]]) -> list[tuple[bytes, bytes]]:
    """Right bodies of every form, with their media type."""
    names = list(rows[0])
    lists = [list(row.values()) for row in rows]
    text = ["" if value is None else str(value) for value in rows[0].values()]
    forms: list[Any] = [rows, lists, {"instances": rows}, {"inputs": lists}, {"dataframe_records": rows}]
    forms += [{"dataframe_split": {"columns": names, "data": lists}}, [{"features": lists[0]}]]
    lines = "\n".join(map(json.dumps, [*rows, *lists]))
    csv = [",".join(text), ",".join(names) + "\n" + ",".join(text), "\n".join([",".join(text)] * 40)]
    return [
        *((JSON, json.dumps(form).encode()) for form in forms),
        (LINES, lines.encode()),
        *((CSV, body.encode()) for body in csv),
    ]


def mutate(body: bytes, others: list[tuple[bytes, bytes]], chance: random.Random) -> bytes:
    """The body with one to four things done to it; one in twenty is left as it is."""
    if chance.random() < 0.05:
        return body
    for _ in range(chance.randint(1, 4)):
        at, to = sorted((chance.randint(0, len(body)), chance.randint(0, len(body))))
        match chance.randrange(6):
            case 0:
                body = body[:at] + chance.choice(TOKENS) + body[to if chance.random() < 0.3 else at :]
            case 1:
                body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
            case 2:
                body = body[:at] + body[to:]
            case 3:
                body = body[:at] + body[at:to] * chance.randint(2, 5) + body[to:]
            case 4:
                body = body[:at] + chance.choice(others)[1][to:]
            case _:
                body = body[:at] + chance.choice(TOKENS) + body[at:]
    return body[:100_000]


def make_request(forms: list[tuple[bytes, bytes]], chance: random.Random) -> bytes:
    """One request that is HTTP, whatever else it is."""
    content_type, body = chance.choice(forms)
    body = mutate(body, forms, chance)
    if chance.random() < 0.1:
        content_type = chance.choice(TYPES)
    method = b"POST" if chance.random() < 0.97 else chance.choice((b"PUT", b"GET", b"DELETE", b"X"))
    path = b"/invocations"
    if chance.random() < 0.03:
        path = chance.choice((b"/ping", b"/", b"/invocations/..", b"/%00", b"/openapi.json", b"/a" * 500))
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: model", b"Content-Type: " + content_type]
    if chance.random() < 0.3:
        lines.append(b"Accept: " + chance.choice(ACCEPTS))
    if chance.random() < 0.1:
        cut = chance.randint(0, len(body))
        chunks = [part for part in (body[:cut], body[cut:]) if part]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in chunks) + b"0\r\n\r\n"
        lines.append(b"Transfer-Encoding: chunked")
    else:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


class Client:
    """A connection that is opened again whenever the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    def send(self, requests: list[bytes]) -> None:
        """All requests in one go; every one must be answered, and rightly."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(b"".join(requests))
            with connection.makefile("rb") as stream:
                for request in requests:
                    self._take(request, stream)

    def _take(self, request: bytes, stream: Any) -> None:
        words = stream.readline().split()
        if len(words) < 2:
            self.wrong.append(f"no answer to {request[:300]!r}")
            return
        status = int(words[1])
        headers = http.client.parse_headers(stream)
        body = b"" if request.startswith(b"HEAD") else stream.read(int(headers["content-length"]))
        self.statuses[status] += 1
        if status >= 500:
            self.wrong.append(f"{status} for {request[:300]!r}")
        try:
            if headers.get_content_type() == "application/json" and body:
                _strictly(body)
            if headers.get_content_type() == "application/jsonlines":
                for line in body.splitlines():
                    _strictly(line)
        except ValueError as error:
            self.wrong.append(f"{error} in the answer {body[:200]!r} to {request[:300]!r}")

    def send_garbage(self, garbage: bytes) -> None:
        """What is no HTTP: any answer below 500 will do, and none."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.recv(65536)
            except ConnectionResetError:
                answer = b""
        if answer.startswith(b"HTTP/1.1 5"):
            self.wrong.append(f"{answer[:20]!r} for garbage {garbage[:100]!r}")


def _strictly(text: bytes) -> None:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    json.loads(text, parse_constant=refuse)


@contextmanager
def serving(model: str, port: int) -> Iterator[int]:
    """The process id of a server with two workers for the model, which is trained first."""
    with tempfile.TemporaryDirectory() as folder:
        base, program = Path(folder, "ml"), Path(folder, "program")
        source = ROOT / "model_src/models" / model
        shutil.copytree(source, program / "model")
        for name in ("train", "serve"):
            shutil.copy(ROOT / "container" / name, program)
        data = base / "input/data/train"
        data.mkdir(parents=True)
        shutil.copy(source / "train.csv", data)
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SAGEMAKER_BASE_DIR": str(base),
            "BIND_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        }
        command = [sys.executable, str(program / "train")]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        with Path(folder, "log").open("w") as log:
            command = [sys.executable, str(program / "serve")]
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
            try:
                _wait_for_ping(port)
                yield process.pid
            finally:
                process.terminate()
                process.wait(timeout=30)


def _wait_for_ping(port: int, limit_s: float = 30) -> None:
    give_up_at = time.monotonic() + limit_s
    while time.monotonic() < give_up_at:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"The server did not answer /ping with 200 within {limit_s} s.")


def fuzz(rows: list[dict[str, Any]], *, port: int, pid: int, requests: int, seed: int) -> dict[str, Any]:
    """What came of so many requests; `wrong` is empty if all is well."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    forms, client, sent, garbage = seeds(rows), Client(port), 0, 0
    workers, began = tree(pid), time.monotonic()
    while sent < requests and len(client.wrong) < 20:
        client.send([make_request(forms, chance) for _ in range(PIPELINED)])
        sent += PIPELINED
        if chance.random() < 0.01 * PIPELINED:
            client.send_garbage(mutate(make_request(forms, chance)[:200], forms, chance))
            garbage += 1
    _wait_for_ping(port)
    if tree(pid) != workers:
        client.wrong.append("a worker died")
    return {
        "requests": sent,
        "garbage": garbage,
        "seconds": round(time.monotonic() - began, 1),
        "seed": seed,
        "statuses": {str(status): count for status, count in sorted(client.statuses.items())},
        "wrong": client.wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=5098)
    parser.add_argument("--model", default="penguins")
    parser.add_argument("--result", type=Path, help="default: build/bench/fuzz.json")
    options = parser.parse_args()

    contract = yaml.safe_load((ROOT / "model_src/models" / options.model / "model.yaml").read_text())
    rows = [golden["instance"] for golden in contract["golden"]]
    with serving(options.model, options.port) as pid:
        report = fuzz(rows, port=options.port, pid=pid, requests=options.requests, seed=options.seed)
    write_result("fuzz", report, file=options.result)
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
