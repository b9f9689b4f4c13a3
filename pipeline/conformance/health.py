"""Checks of a server's start, its connections and its health."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from pipeline.conformance import client
from pipeline.conformance.check import HOSTING, PIPELINES, PRACTICE, BreachError, Check, NotApplicableError
from pipeline.conformance.client import Address, NoAnswerError, Reply
from pipeline.conformance.load import under_load
from pipeline.conformance.server import Server, Start, first_answer
from pipeline.conformance.subject import Subject, explain_start
from pipeline.conformance.tree import make_serving_tree, spoil_files

_BIND_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
_OTHER_PORT = 8099
_PINGS = 3
# A pause of this machine is not the server's: what is too slow is measured once more.
_ROUNDS = 2
_WATCH_FACTOR = 2
# How much longer than before a second start may take on a busy machine.
_SLOWER_START_S = 5.0
_RETRY_S = 0.1
_PING_PAUSE_S = 0.02


def check_starts(subject: Subject) -> str:
    start = subject.first_start
    if start.exit_code is not None:
        raise BreachError(explain_start(start))
    return "it runs"


def check_port(subject: Subject) -> str:
    start = _running_start(subject)
    if start.listening_s is not None:
        return f"after {start.listening_s:.2f} s"
    listeners = start.server.program.listeners()
    if any(one.endswith(f":{start.server.address.port}") for one in listeners):
        return "on one address only"
    found = f"; it listens on {', '.join(listeners)}" if listeners else ""
    raise BreachError(f"nothing does after {subject.limits.healthy_s:g} s{found}")


def check_addresses(subject: Subject) -> str:
    start = _running_start(subject)
    if start.listening_s is not None:
        return "reached from outside"
    own = [o for o in start.server.program.listeners() if o.endswith(f":{start.server.address.port}")]
    if not own:
        raise NotApplicableError("nothing listens on the port")
    raise BreachError(f"on {', '.join(own)} only: SageMaker comes from outside of the container")


def check_healthy(subject: Subject) -> str:
    start = _running_start(subject)
    if start.listening_s is None:
        raise NotApplicableError("nothing listens on the port")
    if start.healthy_s is None:
        raise BreachError(f"not within {subject.limits.healthy_s:g} s: {explain_start(start)}")
    return f"after {start.healthy_s:.2f} s"


def check_bind_to_port(subject: Subject) -> str:
    facts = subject.runtime.facts
    if facts is None:
        raise NotApplicableError("every start of a process has a port of its own")
    if facts.labels.get(_BIND_LABEL) != "true":
        raise NotApplicableError(
            "the image does not say so by its label; pipelines need it from two containers on"
        )
    environment = {"SAGEMAKER_BIND_TO_PORT": str(_OTHER_PORT), "SAGEMAKER_SAFE_PORT_RANGE": "8090-8099"}
    with subject.start(environment=environment, port=_OTHER_PORT) as start:
        if start.healthy_s is None:
            raise BreachError(f"not on {_OTHER_PORT}: {explain_start(start)}")
    return f"on {_OTHER_PORT}"


def check_accept(subject: Subject) -> str:
    address = subject.server().address
    return judge_time(lambda: _time_connections(address, count=1), subject.limits.accept_s, "to connect")


def check_accept_burst(subject: Subject) -> str:
    address = subject.server().address
    count = subject.limits.burst_connections
    return judge_time(
        lambda: _time_connections(address, count=count),
        subject.limits.accept_s,
        f"for the slowest of {count} connections that stay open",
    )


def check_ping(subject: Subject) -> str:
    server = subject.server()
    return judge_time(
        lambda: _time_pings(server, subject.limits.ping_s),
        subject.limits.ping_s,
        f"for the slowest of {_PINGS}",
    )


def check_ready(subject: Subject) -> str:
    subject.server()
    _ = subject.sample
    answer = subject.first_start.first_answer
    if isinstance(answer, Reply) and answer.accepted:
        return "the first request after it was answered"
    seen = answer if isinstance(answer, str) else f"it was answered {answer.status}" if answer else ""
    if not _becomes_ready(subject):
        raise NotApplicableError("the sample request is never answered with 2xx")
    raise BreachError(f"a request right after the first 200 failed, and later it did not: {seen}")


def _becomes_ready(subject: Subject) -> bool:
    deadline = time.monotonic() + subject.limits.answer_s
    while time.monotonic() < deadline:
        answer = first_answer(subject.server(), subject.sample)
        if isinstance(answer, Reply) and answer.accepted:
            return True
        time.sleep(_RETRY_S)
    return False


def check_ping_without_model(subject: Subject) -> str:
    _ = subject.model
    return _watch_dishonest(subject, make_serving_tree(None, subject.new_folder()))


def check_ping_broken_model(subject: Subject) -> str:
    tree = make_serving_tree(subject.model, subject.new_folder())
    if not spoil_files(tree / "model"):
        raise NotApplicableError("the model has no files to be spoiled")
    return _watch_dishonest(subject, tree)


def check_ping_under_load(subject: Subject) -> str:
    server, sample = subject.server(), subject.sample
    with under_load(server, sample, warm_up_s=subject.limits.load_s) as load:
        seen = judge_time(
            lambda: _time_pings(server, subject.limits.ping_s),
            subject.limits.ping_s,
            f"for the slowest of {_PINGS}",
        )
    return f"{seen}, beside {load.sent} requests"


def check_ping_large_bodies(subject: Subject) -> str:
    server, size = subject.server(), subject.limits.real_time_bytes - 1
    body = subject.sample.filled(size)
    if body is None:
        raise NotApplicableError(f"how to pad {subject.sample.content_type} is not known")

    def measure() -> float:
        with ThreadPoolExecutor(1) as pool:
            # Whether it is answered is another check's question.
            request = pool.submit(server.invoke, body, content_type=subject.sample.content_type)
            return _time_pings(server, subject.limits.ping_s, enough=request.done)

    return judge_time(measure, subject.limits.ping_s, f"for the slowest beside a body of {size} bytes")


def check_ping_slow_clients(subject: Subject) -> str:
    server, count = subject.server(), subject.limits.slow_clients
    head = client.render_request("POST", "/invocations", bytes(100), headers={"Content-Type": "text/csv"})
    with ExitStack() as stack:
        for _ in range(count):
            try:
                opened, _ = client.connect(server.address, timeout_s=subject.limits.ping_s)
                stack.enter_context(opened)
                opened.sendall(head[:-99])
            except (NoAnswerError, OSError) as error:
                raise BreachError(f"a connection beside slow clients failed: {error}") from error
        return judge_time(
            lambda: _time_pings(server, subject.limits.ping_s),
            subject.limits.ping_s,
            f"beside {count} clients that stop half-way",
        )


def _running_start(subject: Subject) -> Start:
    try:
        start = subject.first_start
    except BreachError as failure:
        raise NotApplicableError("there is no server to ask") from failure
    if start.exit_code is not None:
        raise NotApplicableError("the program ended")
    return start


def judge_time(measure: Callable[[], float], limit_s: float, what: str) -> str:
    """What was measured, if it is within the limit. Raises: BreachError if it is not, twice."""
    seconds = limit_s
    for _ in range(_ROUNDS):
        try:
            seconds = measure()
        except NoAnswerError as error:
            raise BreachError(f"{error}, {what}") from error
        if seconds <= limit_s:
            return f"{seconds * 1000:.0f} ms {what}"
    raise BreachError(f"{seconds:.2f} s {what}")


def _time_connections(address: Address, *, count: int) -> float:
    opened: list[client.BoundedSocket] = []
    slowest = 0.0
    try:
        for _ in range(count):
            one, seconds = client.connect(address, timeout_s=10)
            opened.append(one)
            slowest = max(slowest, seconds)
            if seconds > 1:
                break
    finally:
        for one in opened:
            one.close()
    return slowest


def _time_pings(server: Server, limit_s: float, *, enough: Callable[[], bool] = lambda: True) -> float:
    """The slowest of a few and of all until it is enough, or the first that is too slow."""
    slowest, pings = 0.0, 0
    while pings < _PINGS or not enough():
        if pings >= _PINGS:
            time.sleep(_PING_PAUSE_S)
        reply = server.ping()
        pings += 1
        slowest = max(slowest, reply.latency_s)
        if reply.status != 200:
            raise BreachError(f"/ping is answered {reply.status}")
        if slowest > limit_s:
            break
    return slowest


def _watch_dishonest(subject: Subject, tree: Path) -> str:
    subject.server()
    usual_s = subject.first_start.healthy_s or 0
    watched_s = max(usual_s * _WATCH_FACTOR, subject.limits.watch_s)
    with subject.start(tree=tree, timeout_s=watched_s, listens_within_s=watched_s + _SLOWER_START_S) as start:
        if start.healthy_s is not None:
            raise BreachError(f"/ping is 200 after {start.healthy_s:.2f} s all the same")
        return (
            f"not 200 in {watched_s:.1f} s: {start.last_ping}"
            if start.exit_code is None
            else "the program ended"
        )


CHECKS = (
    Check(
        "starts-with-serve",
        "must",
        "SageMaker runs `docker run IMAGE serve`; the program stays.",
        HOSTING,
        check_starts,
    ),
    Check("listens-on-8080", "must", "The server listens on port 8080.", HOSTING, check_port),
    Check(
        "listens-on-all-addresses",
        "must",
        "It is reached from outside of its container.",
        HOSTING,
        check_addresses,
    ),
    Check("healthy-in-time", "must", "/ping is 200 within 8 minutes of the start.", HOSTING, check_healthy),
    Check(
        "bind-to-port",
        "must",
        "An image that says so listens on SAGEMAKER_BIND_TO_PORT.",
        PIPELINES,
        check_bind_to_port,
    ),
    Check("accept-in-time", "must", "A connection is accepted within 250 ms.", HOSTING, check_accept),
    Check(
        "accept-burst-in-time",
        "must",
        "So is each of many connections that stay open.",
        HOSTING,
        check_accept_burst,
    ),
    Check("ping-in-time", "must", "/ping answers within 2 s.", HOSTING, check_ping),
    Check("ping-means-ready", "must", "A 200 says that /invocations can be asked.", HOSTING, check_ready),
    Check(
        "ping-under-load", "must", "/ping answers within 2 s beside requests.", HOSTING, check_ping_under_load
    ),
    Check(
        "ping-large-bodies",
        "must",
        "/ping answers within 2 s while a body of nearly 25 MB is taken and answered.",
        HOSTING,
        check_ping_large_bodies,
    ),
    Check(
        "ping-slow-clients",
        "should",
        "/ping answers within 2 s beside many slow clients.",
        PRACTICE,
        check_ping_slow_clients,
    ),
    Check(
        "ping-absent-model",
        "should",
        "/ping is not 200 where /opt/ml/model is empty.",
        HOSTING,
        check_ping_without_model,
    ),
    Check(
        "ping-broken-model",
        "should",
        "/ping is not 200 with a model that cannot be loaded.",
        HOSTING,
        check_ping_broken_model,
    ),
)
