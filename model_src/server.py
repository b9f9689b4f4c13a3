"""`serve`: one model behind SageMaker's serving contract, with granian (RSGI), ONNX Runtime and orjson.

Imports nothing that training needs. The model is loaded once, by the program itself; the workers are forked
from it when that is done, so that none ever listens without the model, and /ping is true for all of them. A
load that takes longer is announced with 503 by a process of its own, which has ended before a worker
listens. What a worker answers is app.py's.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import logging.config
import os
import pwd
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from model_src.app import DEFAULTS, MAX_PAYLOAD_MB, MEBIBYTE, ModelApp, Options, Served
from model_src.artefact import Card, read_artefact
from model_src.cpus import count_cpus
from model_src.environment import base_folder
from model_src.errors import ArtefactError, RequestError
from model_src.inspection import inspect_artefact
from model_src.media import CSV, negotiate
from model_src.predictor import load_predictor
from model_src.response import read_outputs

_KILL_S = 25  # SageMaker kills 30 s after SIGTERM
_M_MMAP_THRESHOLD = -3  # malloc.h
_ANNOUNCER_END_S = 10
_SILENT_LOAD_S = 0.5  # a load that takes longer is announced; most take some milliseconds
_CONNECTIONS = 10_000  # of each worker; a slow one costs some kilobytes
_IDLE_S = (
    75  # longer than a load balancer keeps a connection: the one who closes first must not be the server
)
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
    user: str | None
    options: Options


def read_settings(environ: Mapping[str, str], *, cpus: int) -> Settings:
    """The settings in SageMaker's variables, and two of this image's own, BIND_HOST and SERVE_USER.

    An empty variable is one that is not set. Raises: SystemExit with the variable whose value is none.
    """
    payload = _whole(
        environ, "SAGEMAKER_MAX_PAYLOAD_IN_MB", DEFAULTS.max_body_bytes // MEBIBYTE, most=MAX_PAYLOAD_MB
    )
    options = Options(
        max_body_bytes=(payload or MAX_PAYLOAD_MB) * MEBIBYTE,
        workers=_whole(environ, "SAGEMAKER_MODEL_SERVER_WORKERS", cpus, least=1, most=1024),
        threads=cpus,
        output=environ.get("SAGEMAKER_INFERENCE_OUTPUT", ""),
        accept=_accept(environ, "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"),
    )
    return Settings(
        model=Path(environ.get("SM_MODEL_DIR") or base_folder(environ) / "model"),
        host=_address(environ, "BIND_HOST", "0.0.0.0"),  # noqa: S104 - SageMaker comes from outside
        port=_whole(environ, "SAGEMAKER_BIND_TO_PORT", 8080, least=1, most=65535),
        user=environ.get("SERVE_USER") or None,
        options=options,
    )


def _whole(environ: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int) -> int:
    text = environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise SystemExit(f"{name} is '{text}'; it must be a whole number from {least} to {most}.")
    return int(text)


def _accept(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name, "").strip() or None
    try:
        negotiate(CSV, text)
    except RequestError as error:
        raise SystemExit(f"{name} is '{text}', which no answer can have: {error}") from error
    return text


def _address(environ: Mapping[str, str], name: str, default: str) -> str:
    text = environ.get(name, "").strip() or default
    try:
        socket.inet_pton(_family(text), text)
    except OSError as error:
        raise SystemExit(f"{name} is '{text}'; it must be an IP address, such as 0.0.0.0 or ::.") from error
    return text


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def load_model(folder: Path, options: Options = DEFAULTS) -> Served | str:
    """The model in `folder`; where it cannot be loaded, the reason, which every request is answered.

    Raises: SystemExit if the options ask for an output that the model has not.
    """
    try:
        artefact = read_artefact(folder)
        inspect_artefact(artefact)
        predictor = load_predictor(artefact, threads=options.threads)
    except (ArtefactError, OSError) as error:
        log.error("The model cannot be loaded: %s", error)
        return f"The model cannot be loaded: {error}"
    _check_output("SAGEMAKER_INFERENCE_OUTPUT", options.output, artefact.card)
    accept = negotiate(CSV, options.accept)
    _check_output("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", accept.output or "", artefact.card)
    return Served(artefact.card, predictor, options)


def _check_output(variable: str, text: str, card: Card) -> None:
    try:
        read_outputs(text, card)
    except RequestError as error:
        raise SystemExit(f"{variable}: {error}") from error


def check_port(settings: Settings) -> None:
    """Ends the program where another one listens: granian would share the port with it."""
    with socket.socket(_family(settings.host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SystemExit(
                f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}."
            ) from error


def give_up_root(user: str) -> None:
    """Makes this process, and those it starts, run as `user` for good."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise SystemExit(f"SERVE_USER is '{user}'; there is no such user here.") from None
    try:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except PermissionError as error:
        raise SystemExit(
            f"SERVE_USER is '{user}', but this root may not become another user: {error.strerror}. Start the"
            f" container as that user (docker run --user {entry.pw_uid}) or with CAP_SETUID and CAP_SETGID."
        ) from error


def give_memory_back() -> None:
    """Has the C library return large buffers as soon as they are free; else it keeps what a large body took.

    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others have none
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, MEBIBYTE)


def stop_collecting() -> None:
    """Has Python look for cycles of garbage no longer, in this process and those that it forks.

    While it reads a body of millions of lists it would look for them again and again, for seconds in which
    no thread runs and /ping is not answered. A request leaves no cycles: test_model_garbage.py.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def main() -> int:
    """Serves until SIGTERM, then answers what has been accepted and ends with 0."""
    logging.config.dictConfig(_LOGGING)
    set_start_method("fork", force=True)  # what granian starts its workers by; since Python 3.14 no default
    give_memory_back()
    settings = read_settings(os.environ, cpus=count_cpus())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * _CONNECTIONS)), hard))
    if settings.user and os.geteuid() == 0:
        give_up_root(settings.user)
    check_port(settings)  # as the user who listens: low ports are root's
    _have_children_end()
    with _announced_load(settings):
        app = ModelApp(load_model(settings.model, settings.options), settings.options)
    stop_collecting()
    _serve(app, settings, workers=settings.options.workers)
    return 0


def _have_children_end() -> None:
    """Has SIGTERM end every process that is forked from now on, until it has a handler of its own.

    It would inherit a handler that is its parent's business, and stay until it is killed. The signal is held
    back while it is being forked.
    """
    held = {signal.SIGTERM}

    def take_default() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, held),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, held),
        after_in_child=take_default,
    )


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
        announcer.join(_ANNOUNCER_END_S)
        announcer.kill()
        announcer.join()


def _announce_load(settings: Settings) -> None:
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
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_S * 1000),
        websockets=False,
        backlog=4096,
        backpressure=_CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=_KILL_S,
        log_dictconfig=_LOGGING,
    )

    def give_app() -> Any:
        return app

    server.serve(target_loader=give_app, wrap_loader=False)
