"""Model servers that break SageMaker's contract, one rule each; `fails` names the checks that find it.

Those with an empty `fails` are just within a limit.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from http.server import HTTPServer

import corpus_server as good

_PINGS = ("ping-in-time", "ping-under-load", "ping-large-bodies", "ping-slow-clients")
# Where connections queue up, some of them end as the kernel pleases.
_OVERFLOW = (
    "ping-slow-clients",
    "ping-under-load",
    "ping-large-bodies",
    "concurrent-requests",
    "sigterm-drains",
    "sigterm-half-sent",
)
_DRAINS = ("sigterm-drains", "sigterm-half-sent")


class Broken(good.Program):
    """`may_fail`: what follows from it now and then. `healthy_s`: how long the test waits for it."""

    fails: tuple[str, ...] = ()
    may_fail: tuple[str, ...] = ()
    healthy_s = 30.0


class Good(Broken):
    pass


class WrongPort(Broken):
    fails = ("listens-on-8080",)
    healthy_s = 5.0

    def prepare(self) -> None:
        super().prepare()
        self.port = 0


class LocalhostOnly(Broken):
    fails = ("listens-on-all-addresses",)
    healthy_s = 5.0

    def prepare(self) -> None:
        super().prepare()
        self.host = "127.0.0.1"


class EndsAtOnce(Broken):
    fails = ("starts-with-serve",)

    def prepare(self) -> None:
        sys.exit("no module named model")


class NeverHealthy(Broken):
    fails = ("healthy-in-time",)
    healthy_s = 5.0

    def load(self) -> None:
        time.sleep(60)


class LoadsForASecond(Broken):
    def load(self) -> None:
        time.sleep(1)
        super().load()


class SlowAccept(Broken):
    fails = ("accept-burst-in-time",)
    may_fail = _OVERFLOW

    class server(good.Server):  # noqa: N801 - the attribute that it overrides
        request_queue_size = 4

        def get_request(self) -> tuple[socket.socket, object]:
            time.sleep(0.1)
            return super().get_request()


class OneThread(Broken):
    """A single slow client blocks it: the textbook's HTTPServer."""

    fails = ("accept-burst-in-time", "ping-slow-clients", "sigterm-drains")
    may_fail = _OVERFLOW

    class server(HTTPServer):  # noqa: N801 - the attribute that it overrides
        server_bind = good.Server.server_bind


class PingOverTheLimit(Broken):
    fails = _PINGS

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def ping(self) -> None:
            time.sleep(1.25)
            super().ping()


class PingUnderTheLimit(Broken):
    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def ping(self) -> None:
            time.sleep(0.75)
            super().ping()


class PingBehindPredictions(Broken):
    fails = ("ping-under-load",)
    may_fail = ("ping-large-bodies",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        last_s = 0.0

        def predict(self, body: bytes) -> None:
            super().predict(body)
            type(self).last_s = time.monotonic()

        def ping(self) -> None:
            if time.monotonic() - self.last_s < 0.1:
                time.sleep(1.25)
            super().ping()


class PingBehindLargeBodies(Broken):
    """As one that holds the interpreter's lock while it reads one."""

    fails = ("ping-large-bodies",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        lock = threading.Lock()

        def predict(self, body: bytes) -> None:
            if len(body) > good.PAYLOAD_BYTES / 2:
                with self.lock:
                    time.sleep(2)
            super().predict(body)

        def ping(self) -> None:
            with self.lock:
                super().ping()


class DripsAnswers(Broken):
    """Something of an answer comes all the time, but never all of it."""

    fails = ("answer-in-time", "garbage-body")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def predict(self, _body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"1")
                time.sleep(0.1)


class EndlessAnswers(Broken):
    fails = ("answer-in-time", "garbage-body")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def predict(self, _body: bytes) -> None:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            for _ in range(1000):
                self.wfile.write(b"1" * 65536)


class ParametersNestedDeep(Broken):
    fails = ("execution-parameters",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def parameters(self) -> None:
            self.answer(200, b"[" * 100_000)


class DishonestPing(Broken):
    fails = ("ping-absent-model", "ping-broken-model")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def ping(self) -> None:
            self.answer(200)


class DishonestAboutBrokenModels(Broken):
    fails = ("ping-broken-model",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def ping(self) -> None:
            self.answer(200 if (self.program.folder / "model.json").exists() else 503)


class EarlyPing(Broken):
    """Healthy while the model is still being loaded."""

    fails = ("ping-means-ready", "batch-body-of-100-mb")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def ping(self) -> None:
            self.answer(200 if self.program.found else 503)

    def load(self) -> None:
        super().load()
        loaded, self.model = self.model, None
        self.found = bool(loaded)
        time.sleep(1)
        self.model = loaded

    found = False


class TooSlowAnswers(Broken):
    fails = ("answer-in-time",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def answer(self, status: int, body: bytes = b"") -> None:
            if status == 200 and self.command == "POST":
                time.sleep(7)
            super().answer(status, body)


class SlowAnswers(Broken):
    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def predict(self, body: bytes) -> None:
            time.sleep(0.6)
            super().predict(body)


class OneAtATime(Broken):
    fails = ("concurrent-requests",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        lock = threading.Lock()

        def predict(self, body: bytes) -> None:
            if not self.lock.acquire(timeout=0.05):
                self.answer(500)
                return
            try:
                time.sleep(0.3)
                super().predict(body)
            finally:
                self.lock.release()


class ErrorOnWrongType(Broken):
    fails = ("wrong-content-type",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def wrong_type(self) -> None:
            self.answer(500)


class TakesAnyType(Broken):
    fails = ("wrong-content-type",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def wrong_type(self) -> None:
            self.answer(200)


class CrashesOnEmptyBody(Broken):
    fails = ("empty-body",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def empty_body(self) -> None:
            os._exit(1)


class AnswersThenCrashes(Broken):
    fails = ("empty-body",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def empty_body(self) -> None:
            self.answer(400)
            os._exit(1)


class ErrorOnGarbage(Broken):
    fails = ("garbage-body",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def garbage(self) -> None:
            raise ValueError("could not convert string to float")


class CrashesOnAbortedRequest(Broken):
    fails = ("aborted-request",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def read_whole(self, size: int) -> bytes:
            try:
                return super().read_whole(size)
            except ConnectionError:
                os._exit(1)


class RefusesUnknownHeaders(Broken):
    fails = ("unknown-headers",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def invocations(self) -> None:
            if any(name.startswith("X-Unknown") for name in self.headers):
                self.read_body()
                self.answer(400)
            else:
                super().invocations()


class AttributesOf1023(Broken):
    fails = ("custom-attributes",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def invocations(self) -> None:
            if len(self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")) > 1023:
                self.read_body()
                self.answer(431)
            else:
                super().invocations()


class ErrorOnUnknownAccept(Broken):
    fails = ("accept-unknown",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def answer(self, status: int, body: bytes = b"") -> None:
            super().answer(500 if status == 406 else status, body)


class NoKeepAlive(Broken):
    fails = ("keep-alive", "chunked-body", "pipelining")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        protocol_version = "HTTP/1.0"

        def read_body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class NoChunks(Broken):
    fails = ("chunked-body",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def read_body(self) -> bytes:
            self.close_connection = self.close_connection or "Content-Length" not in self.headers
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class AnyMethod(Broken):
    fails = ("method-not-allowed",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def answer(self, status: int, body: bytes = b"") -> None:
            super().answer(200 if status == 405 else status, body)


class AnyPath(Broken):
    fails = ("unknown-path", "execution-parameters")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def answer(self, status: int, body: bytes = b"") -> None:
            super().answer(200 if status == 404 else status, body)

        def parameters(self) -> None:
            self.answer(200, b"hello")


class ParametersOf101Mb(Broken):
    fails = ("execution-parameters",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def parameters(self) -> None:
            self.answer(200, b'{"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 101}')


class SmallBodies(Broken):
    """nginx's default: a body of 1 MB."""

    fails = ("body-of-6-mb", "body-just-under-25-mb", "body-of-25-mb", "batch-body-of-100-mb")

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def limit(self) -> int:
            return 10 * 1024


class BodiesUnder25Mb(Broken):
    """The limit itself is already too much."""

    fails = ("body-of-25-mb",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def limit(self) -> int:
            limit = super().limit()
            return limit - 1 if limit == good.PAYLOAD_BYTES else limit


class CrashesOnLargeBody(Broken):
    fails = ("body-just-over-25-mb",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def answer(self, status: int, body: bytes = b"") -> None:
            if status == 413:
                os._exit(1)
            super().answer(status, body)


class NoBatchSizes(Broken):
    fails = ("batch-body-of-100-mb",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def limit(self) -> int:
            return good.PAYLOAD_BYTES


class WritesToTheModel(Broken):
    fails = ("model-untouched",)

    def load(self) -> None:
        (self.folder / "cache").write_text("compiled")
        super().load()


class Always8080(good.Program):
    """In containers only: a process that shares the machine cannot have this port."""

    def prepare(self) -> None:
        super().prepare()
        self.port = 8080


class NeedsTheNetwork(Broken):
    fails = ("serves-offline",)

    def prepare(self) -> None:
        super().prepare()
        if host := os.environ.get("NEEDED_HOST"):
            socket.create_connection((host, 8080), timeout=2).close()
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing; needs a way to get there


class Silent(Broken):
    fails = ("logs",)

    class handler(good.Handler):  # noqa: N801 - the attribute that it overrides
        def log_message(self, *_: object) -> None:
            pass

    def prepare(self) -> None:
        pass


class IgnoresSigterm(Broken):
    fails = ("sigterm-exits",)

    def stop(self) -> None:
        pass


class HasNoHandler(Broken):
    """The first process of a container is not ended by SIGTERM without a handler; any other process is."""

    fails = ("sigterm-drains", "sigterm-half-sent")

    def prepare(self) -> None:
        super().prepare()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class StaysTooLong(Broken):
    fails = ("sigterm-exits",)

    def drain(self) -> None:
        super().drain()
        time.sleep(9)


class StaysLong(Broken):
    def drain(self) -> None:
        super().drain()
        time.sleep(2)


class DropsRequests(Broken):
    fails = _DRAINS

    def stop(self) -> None:
        os._exit(0)


class EndsWith1(Broken):
    fails = ("sigterm-exit-code",)

    def end(self) -> None:
        os._exit(1)


CORPUS = {cls.__name__: cls for cls in Broken.__subclasses__()}

if __name__ == "__main__":
    {**CORPUS, "Always8080": Always8080}[sys.argv.pop(1)]().run()
