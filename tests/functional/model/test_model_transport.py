"""What the server does with connections: bodies of every kind, slow clients, and the end under load."""

from __future__ import annotations

import http.client
import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from model_programs import PORT, Programs, ask, lay_out, wait_for_ping

ROW = b"5,3.4,1.5,0.2"
MEBIBYTE = 1024**2
POST = b"POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: text/csv\r\n"
WHOLE = POST + b"Content-Length: %d\r\n\r\n%s" % (len(ROW), ROW)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    programs = lay_out(tmp_path_factory.mktemp("iris"), "iris")
    assert programs.run("train")[0] == 0
    return programs


@pytest.fixture(scope="class")
def served(trained: Programs) -> Iterator[None]:
    with trained.serving(SAGEMAKER_MODEL_SERVER_WORKERS="2"):
        wait_for_ping()
        yield


def connect() -> socket.socket:
    return socket.create_connection(("127.0.0.1", PORT), timeout=30)


def read_responses(connection: socket.socket, number: int) -> list[tuple[int, bytes]]:
    """The next responses of a connection: status and body."""
    responses = []
    with connection.makefile("rb") as stream:
        for _ in range(number):
            status = int(stream.readline().split()[1])
            headers = http.client.parse_headers(stream)
            responses.append((status, stream.read(int(headers["content-length"]))))
    return responses


def slowest_ping(times: int) -> float:
    """Seconds that the slowest of so many pings took."""
    slowest = 0.0
    for _ in range(times):
        began = time.monotonic()
        assert ask("GET", "/ping")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    return slowest


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open connections as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def exchange(*parts: bytes) -> tuple[int, bytes]:
    """The response to a request sent in these parts."""
    with connect() as connection:
        for part in parts:
            connection.sendall(part)
        return read_responses(connection, 1)[0]


@pytest.mark.usefixtures("served")
class TestOneServer:
    def test_a_chunked_body_is_put_together(self) -> None:
        chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (ROW[:3], ROW[3:9], ROW[9:])]

        answer = exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n")

        assert answer == (200, b"setosa\n")

    @pytest.mark.parametrize(
        "rest",
        [b"", b"e\r\n5,3.4", b"e\r", b"0\r\n", b"what?\r\n"],
        ids=["after", "in", "size", "last", "wrong"],
    )
    def test_a_chunked_body_that_broke_off_is_refused(self, rest: bytes) -> None:
        whole = b"e\r\n%s\n\r\n" % ROW
        with connect() as connection:
            connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + whole)
            connection.sendall(rest)
            connection.shutdown(socket.SHUT_WR)

            ((status, answer),) = read_responses(connection, 1)

        assert status == 400
        assert json.loads(answer)["error"].startswith("The body ended before it was whole")

    def test_the_lines_of_accept_are_one_list(self) -> None:
        accept = b"Accept: image/png\r\nAccept: application/jsonlines\r\n"

        _, answer = exchange(WHOLE.replace(b"Host: model\r\n", b"Host: model\r\n" + accept))

        assert json.loads(answer)["label"] == "setosa"

    def test_pipelined_requests_are_answered_in_their_order(self) -> None:
        ping = b"GET /ping HTTP/1.1\r\nHost: model\r\n\r\n"
        wrong = POST + b"Content-Length: 1\r\n\r\nx"
        with connect() as connection:
            connection.sendall(WHOLE + ping + wrong + WHOLE)

            (first, second, third, last) = read_responses(connection, 4)

        assert (first, second[0], third[0], last) == ((200, b"setosa\n"), 200, 400, (200, b"setosa\n"))

    def test_a_client_that_asks_to_continue_is_told_to(self) -> None:
        with connect() as connection:
            connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(ROW))
            told = connection.recv(100)
            connection.sendall(ROW)

            answer = read_responses(connection, 1)[0]

        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert answer == (200, b"setosa\n")

    def test_a_client_that_asks_to_continue_is_refused_before_it_sends(self) -> None:
        answer = exchange(POST + b"Expect: 100-continue\r\nContent-Length: 30000000\r\n\r\n")

        assert answer[0] == 413

    def test_http_1_0_is_answered(self) -> None:
        assert exchange(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")) == (200, b"setosa\n")

    def test_ping_has_a_head(self) -> None:
        assert ask("HEAD", "/ping") == (200, b"")

    @pytest.mark.parametrize(("excess", "status"), [(-1, 200), (0, 200), (1, 413)])
    def test_the_limit_of_a_body_is_exact(self, excess: int, status: int) -> None:
        body = ROW + b"\n" * (25 * MEBIBYTE + excess - len(ROW))

        answered, answer = ask("POST", "/invocations", body, content_type="text/csv")

        assert answered == status
        if status == 413:
            assert json.loads(answer)["error"].startswith("The body is larger than 26214400 bytes")

    def test_an_oversize_body_without_a_length_is_refused(self) -> None:
        chunk = b"100000\r\n%s\r\n" % (b"1" * 0x100000)

        status, _ = exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n", *([chunk] * 30), b"0\r\n\r\n")

        assert status == 413

    @pytest.mark.parametrize("content_type", ["application/x-npy", "application/python-pickle"])
    def test_the_refusal_of_a_large_body_is_read_by_its_client(self, content_type: str) -> None:
        status, answer = ask("POST", "/invocations", b"x" * 20 * MEBIBYTE, content_type=content_type)

        assert status == 415
        assert json.loads(answer)["error"].startswith(f"Content-Type is {content_type}")

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            (b"Content-Length: -1\r\n", 400),
            (b"Content-Length: many\r\n", 400),
            (b"X: " + b"a" * MEBIBYTE + b"\r\n", 431),
            (b"X: a\r\n" * 99, 431),
        ],
        ids=["negative", "words", "long", "many"],
    )
    def test_headers_that_are_none_are_refused_without_a_word(self, headers: bytes, status: int) -> None:
        assert exchange(POST + headers + b"\r\n") == (status, b"")

    @pytest.mark.parametrize("name", ["Content-Type", "Accept", "Content-Encoding"])
    def test_a_header_beyond_ascii_is_refused_by_its_name(self, name: str) -> None:
        head, _, rest = WHOLE.partition(b"Content-Type: text/csv\r\n")
        others = b"" if name == "Content-Type" else b"Content-Type: text/csv\r\n"

        status, answer = exchange(head + others + name.encode() + b": text/\xc3\xa9\r\n" + rest)

        assert status == 400
        assert json.loads(answer)["error"].startswith(f"The header {name.lower()} holds other characters")

    def test_a_body_that_ends_too_soon_is_refused(self) -> None:
        with connect() as connection:
            connection.sendall(WHOLE[:-5])
            connection.shutdown(socket.SHUT_WR)

            ((status, _),) = read_responses(connection, 1)

        assert status == 400

    def test_unknown_headers_are_ignored(self) -> None:
        headers = {f"x-amzn-sagemaker-{name}": "1" for name in ("custom-attributes", "target-model", "new")}

        assert ask("POST", "/invocations", ROW, content_type="text/csv", **headers) == (200, b"setosa\n")

    @pytest.mark.usefixtures("many_files")
    def test_slow_clients_by_the_thousand_do_not_keep_ping_waiting(self) -> None:
        large = POST + b"Content-Length: %d\r\n\r\n" % (2 * MEBIBYTE)
        started = {
            "header": POST[:40],
            "body": WHOLE[:-5],
            "large body": large + ROW,
            "reader": (POST + b"Content-Length: %d\r\n\r\n" % (len(ROW) * 100 + 100)) + (ROW + b"\n") * 100,
        }
        with ExitStack() as connections:
            for part in started.values():
                for _ in range(300):
                    connections.enter_context(connect()).sendall(part)

            # A pause of this machine is not the server's: what is too slow is measured anew.
            in_time = any(slowest_ping(20) < 2 for _ in range(3))
            answer = ask("POST", "/invocations", ROW, content_type="text/csv")

        assert in_time
        assert answer == (200, b"setosa\n")

    @pytest.mark.parametrize(
        ("clients", "make", "answer"),
        [
            # In the event loop each takes 27 ms, and all that came before /ping are done first.
            (64, lambda: b"[%s]" % b",".join([b"[5,3,1,0]"] * 13_000), '{"predictions":[{"label":"setosa"'),
            # The keys of one object are read in one go, for seconds in which nothing else runs.
            (
                4,
                lambda: b"[{%s}]" % b",".join(b'"%d":1' % key for key in range(2_000_000)),
                '{"error":"Over 100000 keys',
            ),
        ],
        ids=["ordinary", "keys"],
    )
    def test_ping_is_answered_beside_bodies_that_take_their_time(
        self, clients: int, make: Callable[[], bytes], answer: str
    ) -> None:
        body = make()
        head = POST.replace(b"text/csv", b"application/json") + b"Content-Length: %d\r\n\r\n" % len(body)
        over = threading.Event()
        answers: list[str] = []

        def load() -> None:
            while not over.is_set():
                answers.append(exchange(head, body)[1].decode())

        threads = [threading.Thread(target=load) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            while len(answers) < 4 and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            in_time = any(slowest_ping(5) < 2 for _ in range(3))
        finally:
            over.set()
            for thread in threads:
                thread.join(timeout=60)

        assert in_time
        assert {one[: len(answer)] for one in answers} == {answer}


@pytest.mark.parametrize("kept_alive", [True, False])
def test_no_request_is_lost_when_the_server_ends_under_load(trained: Programs, kept_alive: bool) -> None:
    """A client's request is lost if its connection was taken and it got no whole answer."""
    answered: list[int] = []
    lost: list[Exception] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
                connection.connect()
            except OSError:
                return  # refused: the server has gone, and the client knows that nothing was done
            try:
                while True:
                    connection.request("POST", "/invocations", ROW, {"Content-Type": "text/csv"})
                    response = connection.getresponse()
                    response.read()
                    answered.append(response.status)
                    if not kept_alive or response.will_close:
                        break
            except (OSError, http.client.HTTPException) as error:
                lost.append(error)
                return
            finally:
                connection.close()

    with trained.serving(SAGEMAKER_MODEL_SERVER_WORKERS="2") as process:
        wait_for_ping()
        clients = [threading.Thread(target=load) for _ in range(16)]
        for client in clients:
            client.start()
        while len(answered) < 500 and not lost:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
        over.set()
        for client in clients:
            client.join(timeout=30)

    assert lost == []
    assert set(answered) == {200}
    assert code == 0
