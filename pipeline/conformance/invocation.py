"""Checks of /invocations and its neighbours: what a server makes of good, odd and wrong requests."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping

from pipeline.conformance import client
from pipeline.conformance.check import (
    BATCH,
    HOSTING,
    HTTP,
    INVOKE,
    PRACTICE,
    QUOTAS,
    BreachError,
    Check,
    NotApplicableError,
)
from pipeline.conformance.client import Connection, NoAnswerError, Reply
from pipeline.conformance.limits import MB
from pipeline.conformance.load import send_at_once
from pipeline.conformance.sample import make_noise
from pipeline.conformance.server import first_answer
from pipeline.conformance.subject import Subject

_CONCURRENT = 16
_NOISE_BYTES = 4096
_UNKNOWN_TYPE = "application/x-unknown-to-everybody"
_STRATEGIES = ("MULTI_RECORD", "SINGLE_RECORD", "MultiRecord", "SingleRecord")
_PARAMETERS = ("BatchStrategy", "MaxConcurrentTransforms", "MaxPayloadInMB")
_LARGEST_PRODUCT_MB = 100


def check_answer(subject: Subject) -> str:
    server, sample = subject.server(), subject.sample
    reply = server.invoke(sample.body, content_type=sample.content_type)
    if not reply.accepted:
        raise BreachError(f"the sample request is answered {reply.status}: {_excerpt(reply)}")
    if reply.latency_s > subject.limits.answer_s:
        raise BreachError(f"after {reply.latency_s:.1f} s")
    return f"{reply.status} after {reply.latency_s * 1000:.0f} ms: {_excerpt(reply)}"


def check_concurrent(subject: Subject) -> str:
    server, sample = subject.server(), subject.sample
    _require_answers(subject)
    results = send_at_once(
        lambda: server.invoke(sample.body, content_type=sample.content_type), count=_CONCURRENT
    )
    bad = [str(r) if isinstance(r, BreachError) else f"status {r.status}" for r in results if not _good(r)]
    if bad:
        raise BreachError(f"{len(bad)} of {_CONCURRENT} at once failed: {bad[0]}")
    return f"{_CONCURRENT} at once"


def check_wrong_type(subject: Subject) -> str:
    return _expect_refusal(
        subject, subject.sample.body, content_type=_UNKNOWN_TYPE, what="a Content-Type nobody knows"
    )


def check_empty_body(subject: Subject) -> str:
    return _expect_refusal(subject, b"", content_type=_type_of(subject), what="an empty body")


def check_garbage(subject: Subject) -> str:
    return _expect_refusal(
        subject, make_noise(_NOISE_BYTES), content_type=_type_of(subject), what="a body of noise"
    )


def check_aborted(subject: Subject) -> str:
    server = subject.server()
    head = client.render_request(
        "POST", "/invocations", bytes(1000), headers={"Content-Type": _type_of(subject)}
    )
    try:
        opened, _ = client.connect(server.address, timeout_s=subject.limits.answer_s)
    except NoAnswerError as error:
        raise BreachError(str(error)) from error
    with opened:
        opened.sendall(head[:-500])
    server.check_alive("a request whose client went away half-way")
    return "/ping is 200 after it"


def check_unknown_headers(subject: Subject) -> str:
    extra = {f"X-Unknown-{number}": "value " * 5 for number in range(20)}
    return _expect_same(subject, extra)


def check_attributes(subject: Subject) -> str:
    longest = "a" * subject.limits.attribute_characters
    return _expect_same(subject, {"X-Amzn-SageMaker-Custom-Attributes": longest})


def check_accept_any(subject: Subject) -> str:
    return _expect_same(subject, {"Accept": "*/*"})


def check_accept_unknown(subject: Subject) -> str:
    _require_answers(subject)
    server, sample = subject.server(), subject.sample
    reply = server.invoke(sample.body, content_type=sample.content_type, headers={"Accept": _UNKNOWN_TYPE})
    if not (reply.accepted or reply.refused):
        raise BreachError(f"answered {reply.status}: {_excerpt(reply)}")
    return f"answered {reply.status}"


def check_keep_alive(subject: Subject) -> str:
    _require_answers(subject)
    server, sample = subject.server(), subject.sample
    headers = {"Content-Type": sample.content_type}
    try:
        with Connection(
            server.address, timeout_s=subject.limits.answer_s, max_bytes=subject.limits.answer_bytes
        ) as connection:
            replies = [
                connection.send("POST", "/invocations", sample.body, headers=headers) for _ in range(3)
            ]
    except NoAnswerError as error:
        raise BreachError(f"the connection did not take three requests: {error}") from error
    _check_all_accepted(replies)
    return "three requests on one connection"


def check_chunked(subject: Subject) -> str:
    _require_answers(subject)
    server, sample = subject.server(), subject.sample
    headers = {"Content-Type": sample.content_type}
    reply = server.send("POST", "/invocations", sample.body, headers=headers, chunked=True)
    _check_all_accepted([reply])
    return f"answered {reply.status}"


def check_pipelining(subject: Subject) -> str:
    _require_answers(subject)
    server, sample = subject.server(), subject.sample
    headers = {"Content-Type": sample.content_type}
    request = client.render_request("POST", "/invocations", sample.body, headers=headers)
    try:
        replies = client.send_pipelined(
            server.address,
            [request] * 2,
            timeout_s=subject.limits.answer_s,
            max_bytes=subject.limits.answer_bytes,
        )
    except NoAnswerError as error:
        raise BreachError(f"two requests sent in one go were not both answered: {error}") from error
    _check_all_accepted(replies)
    return "two requests sent in one go, two answers"


def check_method(subject: Subject) -> str:
    reply = subject.server().send("GET", "/invocations")
    if not reply.refused:
        raise BreachError(f"GET /invocations is answered {reply.status}")
    return f"GET /invocations is answered {reply.status}"


def check_path(subject: Subject) -> str:
    reply = subject.server().send("GET", "/no/such/path")
    if not reply.refused:
        raise BreachError(f"GET /no/such/path is answered {reply.status}")
    return f"answered {reply.status}"


def check_execution_parameters(subject: Subject) -> str:
    reply = subject.server().send("GET", "/execution-parameters")
    if reply.refused:
        raise NotApplicableError(f"not offered (answered {reply.status})")
    if not reply.accepted:
        raise BreachError(f"answered {reply.status}")
    try:
        parameters = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise BreachError(f"no JSON that can be read: {_excerpt(reply)}") from error
    problem = find_parameter_problem(parameters)
    if problem:
        raise BreachError(problem)
    return ", ".join(f"{name}: {parameters[name]}" for name in _PARAMETERS if name in parameters) or "empty"


def find_parameter_problem(parameters: object) -> str | None:
    """What is wrong with an answer to /execution-parameters; None if nothing is."""
    if not isinstance(parameters, Mapping):
        return "it is no JSON object"
    strategy_name, *number_names = _PARAMETERS
    strategy = parameters.get(strategy_name, _STRATEGIES[0])
    if strategy not in _STRATEGIES:
        return f"{strategy_name} is {reprlib.repr(strategy)}"
    numbers = {name: parameters.get(name, 1) for name in number_names}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            return f"{name} is {reprlib.repr(value)}, no whole number"
    concurrent, payload_mb = numbers.values()
    if concurrent * payload_mb > _LARGEST_PRODUCT_MB:
        return f"{concurrent} requests of {payload_mb} MB are more than {_LARGEST_PRODUCT_MB} MB"
    return None


def check_payload(subject: Subject, size: int) -> str:
    reply = subject.server().invoke(_pad(subject, size), content_type=_type_of(subject))
    return _judge_taken(reply, size)


def check_just_over_payload(subject: Subject) -> str:
    server = subject.server()
    reply = server.invoke(_pad(subject, subject.limits.real_time_bytes + 1), content_type=_type_of(subject))
    if not (reply.accepted or reply.refused):
        raise BreachError(f"answered {reply.status}: {_excerpt(reply)}")
    server.check_alive("a body that is one byte too large")
    return f"answered {reply.status}"


def check_batch_payload(subject: Subject) -> str:
    size = subject.limits.batch_bytes
    body = _pad(subject, size)
    environment = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(max(1, size // MB)),
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "1",
    }
    with subject.start(environment=environment) as start:
        if start.healthy_s is None:
            raise BreachError(f"not healthy with SageMaker's variables of a transform: {start.last_ping}")
        reply = start.server.invoke(body, content_type=_type_of(subject))
        return _judge_taken(reply, size)


def _judge_taken(reply: Reply, size: int) -> str:
    if not reply.accepted:
        raise BreachError(f"{size} bytes are answered {reply.status}: {_excerpt(reply)}")
    return f"{size} bytes answered {reply.status} after {reply.latency_s:.2f} s"


def _pad(subject: Subject, size: int) -> bytes:
    _require_answers(subject)
    body = subject.sample.padded(size)
    if body is None:
        raise NotApplicableError(f"how to pad {subject.sample.content_type} is not known")
    return body


def _expect_refusal(subject: Subject, body: bytes, *, content_type: str, what: str) -> str:
    server = subject.server()
    reply = server.invoke(body, content_type=content_type)
    if not reply.refused:
        raise BreachError(f"{what} is answered {reply.status}: {_excerpt(reply)}")
    server.check_alive(what)
    return f"answered {reply.status}, and /ping is 200 after it"


def _expect_same(subject: Subject, headers: dict[str, str]) -> str:
    _require_answers(subject)
    reply = subject.server().invoke(
        subject.sample.body, content_type=subject.sample.content_type, headers=headers
    )
    _check_all_accepted([reply])
    return f"answered {reply.status}"


def _require_answers(subject: Subject) -> None:
    """Raises: NotApplicableError where the plain sample is not answered: its variants would tell nothing."""
    subject.server()
    answer = subject.observe("answer", lambda asked: first_answer(asked.server(), asked.sample))
    if not isinstance(answer, Reply):
        raise NotApplicableError("the sample request is not answered")
    if not answer.accepted:
        raise NotApplicableError(f"the sample request is answered {answer.status}")


def _check_all_accepted(replies: list[Reply]) -> None:
    for reply in replies:
        if not reply.accepted:
            raise BreachError(f"answered {reply.status}: {_excerpt(reply)}")


def _good(result: Reply | BreachError) -> bool:
    return isinstance(result, Reply) and result.accepted


def _type_of(subject: Subject) -> str:
    """The sample's type; CSV where there is no sample."""
    return subject.material.sample.content_type if subject.material.sample else "text/csv"


def _excerpt(reply: Reply) -> str:
    return " ".join(reply.body[:120].decode(errors="replace").split()) or "(no body)"


CHECKS = (
    Check("answer-in-time", "must", "A request is answered within 60 s.", HOSTING, check_answer),
    Check(
        "concurrent-requests", "must", "Several requests at once are all answered.", HOSTING, check_concurrent
    ),
    Check(
        "wrong-content-type",
        "should",
        "An unknown Content-Type is refused with 4xx.",
        PRACTICE,
        check_wrong_type,
    ),
    Check(
        "empty-body",
        "should",
        "An empty body is refused with 4xx, and the server lives on.",
        PRACTICE,
        check_empty_body,
    ),
    Check(
        "garbage-body",
        "should",
        "Noise is refused with 4xx, and the server lives on.",
        PRACTICE,
        check_garbage,
    ),
    Check(
        "aborted-request",
        "should",
        "A client that goes away half-way harms nobody else.",
        PRACTICE,
        check_aborted,
    ),
    Check(
        "unknown-headers", "must", "Headers that SageMaker adds are ignored.", INVOKE, check_unknown_headers
    ),
    Check(
        "custom-attributes", "must", "Custom attributes of 1,024 characters pass.", INVOKE, check_attributes
    ),
    Check("accept-any", "must", "`Accept: */*` is answered.", INVOKE, check_accept_any),
    Check(
        "accept-unknown", "should", "An unknown Accept is no server error.", PRACTICE, check_accept_unknown
    ),
    Check("keep-alive", "should", "A connection takes several requests.", HTTP, check_keep_alive),
    Check("chunked-body", "should", "A body may come in chunks.", BATCH, check_chunked),
    Check(
        "pipelining", "should", "Requests may be sent before the answers are read.", HTTP, check_pipelining
    ),
    Check("method-not-allowed", "should", "GET /invocations is refused with 4xx.", PRACTICE, check_method),
    Check("unknown-path", "should", "A path that is not there is refused with 4xx.", PRACTICE, check_path),
    Check(
        "execution-parameters",
        "must",
        "/execution-parameters, if offered, is well-formed; the product is at most 100 MB.",
        BATCH,
        check_execution_parameters,
    ),
    Check(
        "body-of-6-mb",
        "must",
        "A body of 6 MB is taken: the default of batch transform.",
        BATCH,
        lambda subject: check_payload(subject, subject.limits.old_real_time_bytes),
    ),
    Check(
        "body-just-under-25-mb",
        "must",
        "A body of 25 MB less one byte is taken.",
        QUOTAS,
        lambda subject: check_payload(subject, subject.limits.real_time_bytes - 1),
    ),
    Check(
        "body-of-25-mb",
        "must",
        "A body of 25 MB is taken.",
        QUOTAS,
        lambda subject: check_payload(subject, subject.limits.real_time_bytes),
    ),
    Check(
        "body-just-over-25-mb",
        "should",
        "One byte more is taken or refused, and the server lives on.",
        QUOTAS,
        check_just_over_payload,
    ),
    Check(
        "batch-body-of-100-mb",
        "should",
        "Batch transform with MaxPayloadInMB 100: such a body is taken.",
        BATCH,
        check_batch_payload,
    ),
)
