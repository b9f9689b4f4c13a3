"""Checks of the end: one server is stopped while it works, and all is observed at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.conformance import client
from pipeline.conformance.check import HOSTING, PRACTICE, BreachError, Check, NotApplicableError
from pipeline.conformance.client import NoAnswerError, Reply
from pipeline.conformance.sample import Sample
from pipeline.conformance.server import Server
from pipeline.conformance.subject import Subject, explain_start

_CLIENTS = 4
# A request that takes this long is surely under way when the signal comes.
_LONG_S = 0.5
_GROWTH = 8
_LARGEST_BODY_BYTES = 6 * 1024**2
_SECOND_HALF_AFTER_S = 0.3
_HALVES_TIMEOUT_S = 60.0
_GOOD_EXIT_CODES = (0, 143)


@dataclass(frozen=True)
class Shutdown:
    """What became of a server that got SIGTERM. `exit_code` is None if it was still there at the limit.

    `in_flight` requests were whole and unanswered at the signal, `lost` of them never got an answer;
    `half_sent` says what became of one whose second half came after it. None: no requests were sent.
    """

    exit_code: int | None
    seconds: float
    in_flight: int
    lost: tuple[str, ...]
    half_sent: Reply | str | None
    request_s: float


def check_exits(subject: Subject) -> str:
    seen = subject.observe("shutdown", observe_shutdown)
    if seen.exit_code is None:
        raise BreachError(f"still there {seen.seconds:.1f} s after SIGTERM")
    return f"{seen.seconds:.1f} s after SIGTERM"


def check_exit_code(subject: Subject) -> str:
    seen = subject.observe("shutdown", observe_shutdown)
    if seen.exit_code is None:
        raise NotApplicableError("it did not end")
    if seen.exit_code not in _GOOD_EXIT_CODES:
        raise BreachError(f"exit code {seen.exit_code}")
    return f"exit code {seen.exit_code}"


def check_drains(subject: Subject) -> str:
    _ = subject.sample
    seen = subject.observe("shutdown", observe_shutdown)
    if seen.half_sent is None:
        raise NotApplicableError("the sample request is not answered")
    if not seen.in_flight:
        raise NotApplicableError(
            f"answers come too fast ({seen.request_s * 1000:.0f} ms) to be caught under way"
        )
    if seen.lost:
        raise BreachError(
            f"{len(seen.lost)} of {seen.in_flight} requests under way were lost: {seen.lost[0]}"
        )
    return f"all of {seen.in_flight} requests under way were answered"


def check_half_sent(subject: Subject) -> str:
    _ = subject.sample
    seen = subject.observe("shutdown", observe_shutdown)
    if seen.half_sent is None:
        raise NotApplicableError("the sample request is not answered")
    if isinstance(seen.half_sent, str):
        raise BreachError(f"a request whose second half came after SIGTERM was lost: {seen.half_sent}")
    return f"answered {seen.half_sent.status}"


def observe_shutdown(subject: Subject) -> Shutdown:
    """Sends SIGTERM to a server at work and watches. Raises: NotApplicableError without a server."""
    with subject.start() as start:
        if start.healthy_s is None:
            raise NotApplicableError(f"a second server was not healthy: {explain_start(start)}")
        answer, sample = start.first_answer, subject.material.sample
        if sample is None or not isinstance(answer, Reply) or not answer.accepted:
            return _stop(subject, start.server)
        return _stop_at_work(subject, start.server, sample)


def _stop(subject: Subject, server: Server) -> Shutdown:
    server.program.terminate()
    code, seconds = _wait(server, subject.limits.stop_s)
    return Shutdown(code, seconds, 0, (), None, 0)


def _stop_at_work(subject: Subject, server: Server, sample: Sample) -> Shutdown:
    body, request_s = _find_long_body(server, sample)
    with ThreadPoolExecutor(_CLIENTS + 1) as pool:
        begun, signalled = threading.Event(), threading.Event()
        half = pool.submit(_send_halves, subject, server, sample, begun, signalled)
        begun.wait()
        time.sleep(_SECOND_HALF_AFTER_S)
        requests = [pool.submit(_invoke, server, body, sample.content_type) for _ in range(_CLIENTS)]
        time.sleep(request_s / 3)
        under_way = [request for request in requests if not request.done()]
        server.program.terminate()
        signalled.set()
        code, seconds = _wait(server, subject.limits.stop_s)
        if code is None:
            server.program.remove()
        lost = tuple(reason for request in under_way if (reason := request.result()) is not None)
        return Shutdown(code, seconds, len(under_way), lost, half.result(), request_s)


def _find_long_body(server: Server, sample: Sample) -> tuple[bytes, float]:
    """The sample with so many rows that it takes a while, and how long it took."""
    body, times = sample.body, 1
    while True:
        started = time.monotonic()
        reply = server.invoke(body, content_type=sample.content_type)
        seconds = time.monotonic() - started
        longer = sample.repeated(times * _GROWTH)
        enough = seconds >= _LONG_S or len(longer) > _LARGEST_BODY_BYTES or len(longer) <= len(body)
        if enough or not reply.accepted:
            return body, seconds
        body, times = longer, times * _GROWTH


def _invoke(server: Server, body: bytes, content_type: str) -> str | None:
    """None for any answer, else why there was none."""
    try:
        server.invoke(body, content_type=content_type)
    except BreachError as failure:
        return str(failure)
    return None


def _send_halves(
    subject: Subject, server: Server, sample: Sample, begun: threading.Event, signalled: threading.Event
) -> Reply | str:
    """Sends the second half of a request after the signal; any answer, or why there was none."""
    request = client.render_request(
        "POST", "/invocations", sample.body, headers={"Content-Type": sample.content_type}
    )
    middle = len(request) - len(sample.body) // 2 - 1
    try:
        opened, _ = client.connect(
            server.address, timeout_s=_HALVES_TIMEOUT_S, max_bytes=subject.limits.answer_bytes
        )
        with opened:
            opened.sendall(request[:middle])
            begun.set()
            signalled.wait()
            time.sleep(_SECOND_HALF_AFTER_S)
            opened.sendall(request[middle:])
            return client.read_reply(opened, started=time.perf_counter())
    except (NoAnswerError, OSError) as error:
        return str(error)
    finally:
        begun.set()


def _wait(server: Server, limit_s: float) -> tuple[int | None, float]:
    started = time.monotonic()
    code = server.program.wait(limit_s)
    return code, time.monotonic() - started


CHECKS = (
    Check(
        "sigterm-exits",
        "must",
        "30 s after SIGTERM comes SIGKILL: by then the program has ended.",
        HOSTING,
        check_exits,
    ),
    Check(
        "sigterm-exit-code", "should", "It ends with 0, or with 143 for SIGTERM.", PRACTICE, check_exit_code
    ),
    Check("sigterm-drains", "should", "Requests under way at SIGTERM are answered.", PRACTICE, check_drains),
    Check(
        "sigterm-half-sent", "should", "So is one that is still being received.", PRACTICE, check_half_sent
    ),
)
