"""One worker's application: SageMaker's serving contract over one model, as granian's RSGI asks for it.

A request is one coroutine. A body of a few rows is computed in it; others beside the event loop, so that
/ping is answered meanwhile. Large bodies have a thread of their own, so that the others do not wait for them,
and only one, so that many of them do not fill the memory.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import orjson
from granian._granian import RSGIProtocolClosed, RSGIProtocolError

from model_src.artefact import Card
from model_src.drain import Drain
from model_src.errors import RequestError
from model_src.media import JSON, TYPES, Exchange, negotiate
from model_src.openapi import describe_api
from model_src.patience import Patience
from model_src.predictor import Predictor
from model_src.request import RequestParser
from model_src.response import read_outputs, render_error, render_predictions

MEBIBYTE: Final = 1024**2
MAX_PAYLOAD_MB: Final = 100  # what batch transform sends at most, in all requests under way
_INLINE_BODY_BYTES = 4096  # half a millisecond of the event loop, in which every client waits
_LARGE_BODY_BYTES = 128 * 1024
_DISCARDED_BYTES = (
    1024 * MEBIBYTE
)  # of a body that is refused as too large: a client that still sends cannot listen
_METHODS: Final = {
    "/invocations": ("POST",),
    "/ping": ("GET", "HEAD"),
    "/execution-parameters": ("GET", "HEAD"),
    "/openapi.json": ("GET", "HEAD"),
}
_HEADERS: Final = {name: [("content-type", name)] for name in TYPES}

log = logging.getLogger("serve")


@dataclass(frozen=True)
class Options:
    """How to answer. `output` is SAGEMAKER_INFERENCE_OUTPUT, `accept` what a client without a wish gets.

    `body_s` is how long a body may take to come; SageMaker gives that much time for the whole answer. Each of
    the `workers` computes a large body with `threads`.
    """

    max_body_bytes: int = 25 * MEBIBYTE
    body_s: float = 60
    workers: int = 1
    threads: int = 1
    output: str = ""
    accept: str | None = None


DEFAULTS: Final = Options()


class Served:
    """A loaded model, and how it is asked and answers."""

    def __init__(self, card: Card, predictor: Predictor, options: Options) -> None:
        self._card = card
        self._predictor = predictor
        self._parser = RequestParser(card.features)
        self._outputs = read_outputs(options.output, card)
        self.api = orjson.dumps(describe_api(card, max_body_bytes=options.max_body_bytes))

    def predict(self, exchange: Exchange, body: bytes) -> bytes:
        """The answer to an invocation. Raises: RequestError with what is wrong with it."""
        chosen = exchange.output
        outputs = self._outputs if chosen is None else read_outputs(chosen, self._card)
        answers = self._predictor.predict(self._parser.parse(exchange.sent, body))
        return render_predictions(answers, self._card, accept=exchange.answered, outputs=outputs)


class Reply(NamedTuple):
    """One response. `content_type` is of `body`."""

    status: int
    content_type: str
    body: bytes


class Scope(Protocol):
    """What granian tells of a request."""

    method: str
    path: str
    headers: Any


class ModelApp:
    """The application of every worker: answers with a model, or 503 with the reason for having none."""

    def __init__(self, model: Served | str, options: Options = DEFAULTS) -> None:
        self._model = model
        self._options = options
        self._negotiate = lru_cache(maxsize=256)(negotiate)
        self._beside = ThreadPoolExecutor(max_workers=1)
        self._large = ThreadPoolExecutor(max_workers=1)
        self._drain = Drain()
        self._patience = Patience(options.body_s)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian in the worker, before it accepts connections."""
        self._drain.watch(loop)
        self._patience.watch(loop)

    async def __rsgi__(self, scope: Scope, protocol: Any) -> None:
        """One request."""
        try:
            reply = await self._answer(scope, protocol)
        except RequestError as error:
            reply = Reply(error.status, JSON, render_error(str(error)))
        except (RSGIProtocolClosed, RSGIProtocolError):  # the client has gone, or stopped in the middle
            reply = Reply(400, JSON, render_error("The body ended before it was whole."))
        except TimeoutError:
            reason = f"The body was not sent within {self._options.body_s:g} s."
            reply = Reply(408, JSON, render_error(reason))
        except Exception:
            log.exception("%s %s failed", scope.method, scope.path[:200])
            reply = Reply(500, JSON, render_error("The server failed; its log has the reason."))
        headers = _HEADERS[reply.content_type]
        if reply.status == 405:
            headers = [*headers, ("allow", ", ".join(_METHODS[scope.path]))]
        if self._drain.note_request():
            headers = [*headers, ("connection", "close")]
        protocol.response_bytes(reply.status, headers, reply.body)

    async def _answer(self, scope: Scope, protocol: Any) -> Reply:
        path, headers = scope.path, scope.headers  # granian copies all headers each time it is asked for them
        length = headers.get("content-length")
        try:
            model = self._admit(path, scope.method)
            if path != "/invocations":
                await self._discard_body(headers, protocol)
                return Reply(200, JSON, self._describe(path, model))
            _check_transfer(length, headers.get("transfer-encoding"), self._options.max_body_bytes)
            exchange = self._negotiate(
                _read_header(headers, "content-type"),
                ", ".join(headers.get_all("accept")) or _read_header(headers, "accept"),
                encoding=_read_header(headers, "content-encoding"),
                default_accept=self._options.accept,
            )
        except RequestError:
            with suppress(TimeoutError):  # what is wrong is known, whether the rest comes or not
                await self._discard_body(headers, protocol)
            raise
        # One step for a body of known length; one of unknown length must be watched as it grows.
        reading = protocol() if length else _read_chunks(protocol, self._options.max_body_bytes)
        body = bytes(await self._patience.wait(reading))
        if len(body) <= _INLINE_BODY_BYTES:
            return Reply(200, exchange.answered, model.predict(exchange, body))
        thread = self._beside if len(body) <= _LARGE_BODY_BYTES else self._large
        answer = await asyncio.get_running_loop().run_in_executor(thread, model.predict, exchange, body)
        return Reply(200, exchange.answered, answer)

    async def _discard_body(self, headers: Any, protocol: Any) -> None:
        """Reads what a refused client still sends: only then does it look for the answer.

        One that asked with `Expect: 100-continue` waits for it, and sends nothing.
        """
        length = headers.get("content-length") or "0"
        if not headers.get("expect") and (length != "0" or headers.get("transfer-encoding")):
            await self._patience.wait(_discard_chunks(protocol))

    def _admit(self, path: str, method: str) -> Served:
        """The model, for a request that is asked of the right path in the right way."""
        if path not in _METHODS:
            raise RequestError(404, f"There is nothing at {path[:200]}; ask {' or '.join(_METHODS)}.")
        if method not in _METHODS[path]:
            wanted = " or ".join(_METHODS[path])
            raise RequestError(405, f"{path} is asked with {wanted}, not {method[:20]}.")
        if isinstance(self._model, str):
            raise RequestError(503, self._model)
        return self._model

    def _describe(self, path: str, model: Served) -> bytes:
        """What is answered without a body being read."""
        if path == "/ping":
            return b"{}"
        return model.api if path == "/openapi.json" else self._execution_parameters()

    def _execution_parameters(self) -> bytes:
        """How batch transform is to ask; concurrency times payload may be 100 MB at most."""
        megabytes = self._options.max_body_bytes // MEBIBYTE
        workers = min(self._options.workers, MAX_PAYLOAD_MB)
        return orjson.dumps(
            {
                "MaxConcurrentTransforms": workers,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": max(1, min(megabytes, MAX_PAYLOAD_MB // workers)),
            }
        )


def _read_header(headers: Any, name: str) -> str | None:
    """The header's text. Raises: RequestError for one that is there, but not for granian."""
    value: str | None = headers.get(name)
    if value is None and name in headers:
        raise RequestError(400, f"The header {name} holds other characters than ASCII's visible ones.")
    return value


def _check_transfer(length: str | None, coding: str | None, max_bytes: int) -> None:
    if length and length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    if coding and coding.strip().lower() != "chunked":
        raise RequestError(415, f"The body's Transfer-Encoding is {coding[:100]}; send it chunked alone.")


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(
        413, f"The body is larger than {max_bytes} bytes, which SAGEMAKER_MAX_PAYLOAD_IN_MB sets."
    )


async def _read_chunks(protocol: Any, max_bytes: int) -> bytes:
    """A body that comes in pieces. Raises: RequestError if it is too large, or did not come to its end.

    granian gives an empty piece for the end of the body, another before it where the client went away or
    broke the rules of chunking, and none of its errors. Trailer fields look just like that.
    """
    chunks, size, empty = [], 0, 0
    async for chunk in protocol:
        size += len(chunk)
        empty += not chunk
        if size <= max_bytes:
            chunks.append(chunk)
        elif size > _DISCARDED_BYTES:
            break
    if size > max_bytes:
        raise _too_large(max_bytes)
    if empty != 1:
        raise RequestError(400, "The body ended before it was whole, or with trailer fields; send none.")
    return b"".join(chunks)


async def _discard_chunks(protocol: Any) -> None:
    size = 0
    async for chunk in protocol:
        size += len(chunk)
        if size > _DISCARDED_BYTES:
            return
