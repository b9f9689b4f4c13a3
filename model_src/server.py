"""`serve`: SageMaker's serving contract over one model, with granian (RSGI), ONNX Runtime and orjson.

Imports nothing that training needs. The model is loaded once, by the program itself; the workers are forked
from it when that is done, so that none ever listens without the model, and /ping is true for all of them. A
load that takes longer is announced with 503 by a process of its own, which has ended before a worker
listens. A request is one coroutine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from model_src.artefact import Card, read_artefact
from model_src.environment import base_folder
from model_src.errors import ArtefactError, RequestError
from model_src.inspection import inspect_artefact
from model_src.predictor import Predictor, load_predictor
from model_src.request import JSON, content_type_of, parse_request
from model_src.response import accepted_type, render_error, render_predictions

MAX_BODY_BYTES = 25 * 1024**2  # SageMaker's limit for a real-time request
_INLINE_BODY_BYTES = (
    16 * 1024
)  # a larger body is parsed beside the event loop, so that /ping is answered meanwhile
_DRAIN_S = 25  # SageMaker kills 30 s after SIGTERM
_SILENT_LOAD_S = 0.5  # a load that takes longer is announced; most take some milliseconds
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"}
    },
    "root": {"handlers": ["out"], "level": "INFO"},
    "loggers": {"_granian": {"level": "INFO"}},
}

log = logging.getLogger("serve")


@dataclass(frozen=True)
class Settings:
    """Where and how to serve; `user` is who to be, None for whoever started the program."""

    model: Path
    host: str
    port: int
    workers: int
    user: str | None


@dataclass(frozen=True)
class Reply:
    """One response. `content_type` is of `body`."""

    status: int
    content_type: str
    body: bytes


class Scope(Protocol):
    """What granian tells of a request."""

    method: str
    path: str
    headers: Any


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in SageMaker's variables, and two of this image's own, BIND_HOST and SERVE_USER."""
    workers = environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
    return Settings(
        model=Path(environ.get("SM_MODEL_DIR", base_folder(environ) / "model")),
        host=environ.get("BIND_HOST", "0.0.0.0"),  # noqa: S104 - SageMaker reaches the container from outside
        port=int(environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        workers=int(workers) if workers.isdigit() else len(os.sched_getaffinity(0)),
        user=environ.get("SERVE_USER"),
    )


@dataclass(frozen=True)
class Served:
    """A loaded model."""

    card: Card
    predictor: Predictor


def load_model(folder: Path) -> Served | str:
    """The model in `folder`; where it cannot be loaded, the reason, which every request is answered."""
    try:
        artefact = read_artefact(folder)
        inspect_artefact(artefact)
        return Served(artefact.card, load_predictor(artefact))
    except (ArtefactError, OSError) as error:
        log.error("The model cannot be loaded: %s", error)
        return f"The model cannot be loaded: {error}"


class ModelApp:
    """The RSGI application of every worker: answers with a model, or 503 with the reason for having none."""

    def __init__(self, model: Served | str) -> None:
        self._model = model

    async def __rsgi__(self, scope: Scope, protocol: Any) -> None:
        """One request."""
        try:
            reply = await self._answer(scope, protocol)
        except RequestError as error:
            reply = Reply(error.status, JSON, render_error(str(error)))
        except Exception:
            log.exception("%s %s failed", scope.method, scope.path)
            reply = Reply(500, JSON, render_error("The server failed; its log has the reason."))
        protocol.response_bytes(reply.status, [("content-type", reply.content_type)], reply.body)

    async def _answer(self, scope: Scope, protocol: Any) -> Reply:
        if scope.path == "/invocations":
            _check_method(scope, "POST")
            return await self._answer_invocation(scope, protocol)
        if scope.path == "/ping":
            _check_method(scope, "GET")
            self._served()
            return Reply(200, JSON, b"{}")
        raise RequestError(404, f"There is nothing at {scope.path[:200]}; ask /ping or /invocations.")

    async def _answer_invocation(self, scope: Scope, protocol: Any) -> Reply:
        model = self._served()
        content_type = content_type_of(scope.headers.get("content-type"))
        accept = accepted_type(scope.headers.get("accept"), content_type=content_type)
        body = await _read_body(scope, protocol)

        def predict() -> bytes:
            answers = model.predictor.predict(parse_request(content_type, body, features=model.card.features))
            return render_predictions(answers, model.card, accept=accept)

        if len(body) <= _INLINE_BODY_BYTES:
            return Reply(200, accept, predict())
        return Reply(200, accept, await asyncio.to_thread(predict))

    def _served(self) -> Served:
        if isinstance(self._model, str):
            raise RequestError(503, self._model)
        return self._model


def _check_method(scope: Scope, wanted: str) -> None:
    if scope.method != wanted:
        raise RequestError(405, f"{scope.path} is asked with {wanted}, not {scope.method}.")


async def _read_body(scope: Scope, protocol: Any) -> bytes:
    """The request's body. Raises: RequestError 413 as soon as it is known to be too large."""
    too_large = RequestError(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    length = scope.headers.get("content-length") or ""
    if length.isdigit():
        if int(length) > MAX_BODY_BYTES:
            raise too_large
        return bytes(await protocol())
    chunks = bytearray()
    async for chunk in protocol:
        chunks += chunk
        if len(chunks) > MAX_BODY_BYTES:
            raise too_large
    return bytes(chunks)


def check_port(settings: Settings) -> None:
    """Ends the program where another one listens: granian would share the port with it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SystemExit(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}."
            ) from error


def give_up_root(user: str) -> None:
    """Makes this process, and those it starts, run as `user` for good."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main() -> int:
    """Serves until SIGTERM, then answers what has been accepted and ends with 0."""
    settings = read_settings(os.environ)
    check_port(settings)
    if settings.user and os.geteuid() == 0:
        give_up_root(settings.user)
    with _announced_load(settings):
        app = ModelApp(load_model(settings.model))
    _serve(app, settings, workers=settings.workers)
    return 0


@contextmanager
def _announced_load(settings: Settings) -> Iterator[None]:
    """Has every request answered 503 as long as the body runs, if it runs for longer than a moment."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # no request is in hand yet
    announcer = get_context("fork").Process(target=_announce_load, args=(settings,))
    announcer.start()
    try:
        yield
    finally:
        announcer.terminate()
        announcer.join()


def _announce_load(settings: Settings) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(_SILENT_LOAD_S)
    _serve(ModelApp("The model is being loaded."), settings, workers=1)


def _serve(app: ModelApp, settings: Settings, *, workers: int) -> None:
    """Answers requests with `app` until SIGTERM, in workers that are forked from this process."""
    server = Granian(
        "model",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=workers,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        backlog=2048,
        respawn_failed_workers=True,
        workers_kill_timeout=_DRAIN_S,
        log_dictconfig=_LOGGING,
    )

    def load_app() -> Any:
        return app

    server.serve(target_loader=load_app, wrap_loader=False)
