"""The server's answers, asked of its application without a socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import pytest
from model_examples import AS_CLASSIFICATION, encode, random_data, read_example
from ports import free_port

from model_src.app import MEBIBYTE, ModelApp, Options, Served
from model_src.artefact import Artefact, write_artefact
from model_src.encoding import Feature
from model_src.errors import RequestError
from model_src.media import CSV, JSON, JSON_LINES, Exchange, negotiate
from model_src.request import RequestParser
from model_src.response import PART_ROWS, render_predictions
from model_src.server import check_port, give_up_root, load_model, read_settings
from model_src.training import fit_artefact

MAX_BODY_BYTES = 25 * MEBIBYTE
ROW = '{"area": 50, "rooms": 2, "heating": "gas", "district": "north"}'


class Headers(dict[str, str]):
    """Granian's headers, which give ASCII only; the lines of one sent in several are split by "; then "."""

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self and self[name].isascii() else default

    def get_all(self, name: str) -> list[str]:
        return self[name].split("; then ") if self.get(name) is not None else []


@dataclass
class Ask:
    """A request, in the form in which granian gives it to an application."""

    path: str = "/invocations"
    method: str = "POST"
    body: bytes | str = f"[{ROW}]"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON})

    def __post_init__(self) -> None:
        self.headers = Headers(self.headers)


@dataclass
class Connection:
    """Granian's protocol object: gives the body, takes the response."""

    body: bytes
    response: tuple[int, dict[str, str], bytes] = (0, {}, b"")

    async def __call__(self) -> bytes:
        return self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 1_000_000):
            yield self.body[start : start + 1_000_000]
        yield b""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.response = status, dict(headers), body


def load(folder: Path, **variables: str) -> ModelApp:
    options = read_settings(variables, cpus=1).options
    return ModelApp(load_model(folder, options), options)


def ask(app: ModelApp, request: Ask) -> tuple[int, str, Any]:
    """Status, content type and body of the answer; a JSON body is parsed."""
    body = request.body.encode() if isinstance(request.body, str) else request.body
    connection = Connection(body)
    asyncio.run(app.__rsgi__(request, connection))
    status, headers, answer = connection.response
    kind = headers["content-type"]
    return status, kind, orjson.loads(answer) if kind == JSON else answer.decode()


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    folder = tmp_path_factory.mktemp("trained")
    model = read_example(folder, *AS_CLASSIFICATION)
    return fit_artefact(model, encode(folder, model, random_data("classification")), commit="")[0]


@pytest.fixture(scope="module")
def app(artefact: Artefact, tmp_path_factory: pytest.TempPathFactory) -> ModelApp:
    folder = tmp_path_factory.mktemp("served")
    write_artefact(artefact, folder)
    return load(folder)


def test_ping_says_why_there_is_no_model(tmp_path: Path, app: ModelApp) -> None:
    ping = Ask(path="/ping", method="GET")
    empty = load(tmp_path)

    status, _, answer = ask(empty, ping)

    assert status == 503
    assert "There is no model.json and no model.onnx" in answer["error"]
    assert ask(empty, Ask())[0] == 503
    assert ask(app, ping) == (200, JSON, {})


def test_ping_says_that_a_model_is_still_packed(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"")

    status, _, answer = ask(load(tmp_path), Ask(path="/ping", method="GET"))

    assert status == 503
    assert answer["error"].endswith("; unpack model.tar.gz first")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"features": 1}, "The model does not take what its card says"),
        ({"classes": 1}, r"shape \(1, 3\); its card says \(1, 1\)"),
        ({"classes": 0}, "a classification with 0 classes"),
    ],
)
def test_card_of_another_model_is_not_served(
    artefact: Artefact, tmp_path: Path, change: dict[str, int], reason: str
) -> None:
    ((member, kept),) = change.items()
    card = replace(artefact.card, **{member: getattr(artefact.card, member)[:kept]})
    write_artefact(replace(artefact, card=card), tmp_path)

    status, _, answer = ask(load(tmp_path), Ask(path="/ping", method="GET"))

    assert status == 503
    assert re.search(reason, answer["error"])


def with_feature(**members: Any) -> Any:
    def change(card: dict[str, Any]) -> None:
        card["features"][2].update(members)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_feature(categories=["gas", 1]), "categories of the feature 'heating' hold 1, which is not str"),
        (with_feature(categories=["gas", ["oil"]]), r"hold \['oil'\], which is not str"),
        (with_feature(categories=["gas", "gas"]), "categories of the feature 'heating' hold a value twice"),
        (with_feature(name=1), "the feature 1 has a name that is no text"),
        (with_feature(name="area"), "the features' names hold a value twice"),
        (with_feature(name="\ud800"), "is not a model's card"),
        (with_feature(type="text"), "the feature 'heating' has the type 'text'"),
        (with_feature(type=["category"]), r"has the type \['category'\]"),
        (with_feature(type="number"), "has categories, but is no category"),
        (with_feature(missing="no"), "missing and closed must be true or false"),
        (with_feature(allowed=[1.5]), "allowed values of the feature 'heating' hold 1.5, which is not int"),
        (with_feature(more=1), "unexpected keyword argument 'more'"),
        (lambda card: card.update(classes=["high", "low", float("nan")]), "is not a model's card"),
        (
            lambda card: card.update(classes=["high", "low", 1.5]),
            "the classes hold 1.5, which is not str or int",
        ),
        (
            lambda card: card.update(classes=["high", "low", True]),
            "the classes hold True, which is not str or",
        ),
        (lambda card: card.update(classes=["high", "1", 1]), "the classes hold a value twice"),
        (lambda card: card.update(classes=["high", "low", "\udfff"]), "is not a model's card"),
        (lambda card: card.update(classes=[]), "a classification with 0 classes"),
        (lambda card: card.update(task="ranking"), "the task is 'ranking'"),
        (lambda card: card.update(features=[]), "there are no features"),
        (lambda card: card.update(features={"a": 1}), "is not a model's card"),
    ],
)
def test_a_wrong_card_is_refused_with_its_reason(
    artefact: Artefact, tmp_path: Path, change: Any, reason: str
) -> None:
    write_artefact(artefact, tmp_path)
    card = json.loads((tmp_path / "model.json").read_bytes())
    change(card)
    (tmp_path / "model.json").write_text(json.dumps(card))

    status, _, answer = ask(load(tmp_path), Ask(path="/ping", method="GET"))

    assert status == 503
    assert re.search(reason, answer["error"])


def test_json_is_answered_with_labels_and_probabilities(app: ModelApp) -> None:
    status, _, answer = ask(app, Ask(body=f'{{"instances": [{ROW}, [150, 5, null, "far"]]}}'))

    assert status == 200
    assert [prediction["label"] for prediction in answer["predictions"]] == ["low", "high"]
    assert answer["predictions"][0]["probabilities"].keys() == {"low", "mid", "high"}
    assert sum(answer["predictions"][0]["probabilities"].values()) == pytest.approx(1)


def test_csv_is_answered_with_a_label_a_line(app: ModelApp) -> None:
    plain = Ask(body="50,2,gas,north\r\n150,5,,far\r\n", headers={"content-type": "text/csv; charset=utf-8"})
    headed = Ask(
        body="district,area,rooms,heating\nnorth,50,2,gas\nfar,150,5,\n", headers={"content-type": CSV}
    )

    assert ask(app, plain) == ask(app, headed) == (200, CSV, "low\nhigh\n")


@pytest.mark.parametrize(
    "body",
    [
        f"[{ROW}]",
        f'{{"instances": [{ROW}]}}',
        f'{{"inputs": [{ROW}]}}',
        f'{{"dataframe_records": [{ROW}]}}',
        '{"dataframe_split": {"columns": ["district", "area", "rooms", "heating"], "index": [7],'
        ' "data": [["north", 50, 2, "gas"]]}}',
        '{"instances": [{"features": [50, 2, "gas", "north"]}]}',
        '[[50.0, 2, "gas", "north"]]',
        '[[50, 2, " gas", "north\\t"]]',
    ],
)
def test_every_form_of_a_request_is_the_same_request(app: ModelApp, body: str) -> None:
    assert ask(app, Ask(body=body)) == ask(app, Ask())


def test_json_lines_are_answered_line_by_line(app: ModelApp) -> None:
    body = f'{ROW}\r\n\n[150, 5, null, "far"]\n{{"features": [50, 2, "gas", "north"]}}'

    status, kind, answer = ask(app, Ask(body=body, headers={"content-type": JSON_LINES}))

    lines = [orjson.loads(line) for line in answer.splitlines()]
    assert (status, kind) == (200, JSON_LINES)
    assert [line["label"] for line in lines] == ["low", "high", "low"]
    assert lines[0].keys() == {"label", "probabilities"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("\n \n", "The body is empty"),
        (f"{ROW}\n[1,\n2]", "Line 2 is not JSON: unexpected end of data at column 4."),
        ("[1], [2]", "Line 1 is not JSON"),
        ('{"area": 1, "area": 2, "district": "x"}', "has the key 'area' twice"),
        ("3", "Instance 0 is neither a list of values nor an object"),
    ],
)
def test_wrong_json_lines_are_refused_with_their_reason(app: ModelApp, body: str, reason: str) -> None:
    status, _, answer = ask(app, Ask(body=body, headers={"content-type": JSON_LINES}))

    assert status == 400
    assert reason in answer["error"]


@pytest.mark.parametrize(
    ("outputs", "csv", "keys"),
    [
        ("predicted_label", "low\n", {"predicted_label"}),
        ("predicted_label+labels", 'low,"[""high"",""low"",""mid""]"\n', {"predicted_label", "labels"}),
    ],
)
def test_outputs_are_chosen_by_accept_or_by_autopilots_variable(
    artefact: Artefact, app: ModelApp, tmp_path: Path, outputs: str, csv: str, keys: set[str]
) -> None:
    write_artefact(artefact, tmp_path)
    by_variable = load(tmp_path, SAGEMAKER_INFERENCE_OUTPUT=outputs.replace("+", ", "))
    as_csv = Ask(headers={"content-type": JSON, "accept": CSV})

    asked = ask(app, Ask(headers={"content-type": JSON, "accept": f"{CSV}; output={outputs}"}))
    _, _, answer = ask(by_variable, Ask())

    assert asked == ask(by_variable, as_csv) == (200, CSV, csv)
    assert answer["predictions"][0].keys() == keys
    assert answer["predictions"][0]["predicted_label"] == "low"


def test_probability_is_the_chosen_labels(app: ModelApp) -> None:
    accept = f"{JSON};output=probability+probabilities"

    _, _, answer = ask(app, Ask(headers={"content-type": JSON, "accept": accept}))

    (prediction,) = answer["predictions"]
    assert prediction["probability"] == max(prediction["probabilities"])


def test_a_client_without_a_wish_gets_the_default_that_sagemaker_names(
    artefact: Artefact, tmp_path: Path
) -> None:
    write_artefact(artefact, tmp_path)
    app = load(tmp_path, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT=CSV)

    assert ask(app, Ask())[1] == CSV
    assert ask(app, Ask(headers={"content-type": JSON, "accept": "*"}))[1] == CSV
    assert ask(app, Ask(headers={"content-type": JSON, "accept": "*/*;q=0.8"}))[1] == CSV
    assert ask(app, Ask(headers={"content-type": JSON, "accept": "image/*, */*;q=0.8"}))[1] == JSON
    assert ask(app, Ask(headers={"content-type": JSON, "accept": JSON}))[1] == JSON


def test_the_lines_of_accept_are_one_list(app: ModelApp) -> None:
    lines = f"{JSON};q=0.5; then image/png; then {CSV}"

    assert ask(app, Ask(headers={"content-type": JSON, "accept": lines}))[1] == CSV


class Silent(Connection):
    """A client that sends nothing."""

    async def __call__(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""


class Broken(Connection):
    """A client that goes away in the middle, as granian tells of it."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body
        yield b""
        yield b""


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/invocations", {"content-type": JSON, "content-length": "30000000"}, 413),
        ("/invocations", {"content-type": "application/x-npy", "content-length": "9"}, 415),
        ("/models", {"content-type": JSON, "content-length": "9"}, 404),
    ],
)
def test_a_refused_request_gets_its_reason_though_its_body_does_not_come(
    path: str, headers: dict[str, str], status: int
) -> None:
    app = ModelApp(cast("Served", Watched()), Options(body_s=0.06))
    connection = Silent(b"")

    async def answer() -> None:
        app.__rsgi_init__(asyncio.get_running_loop())
        await app.__rsgi__(Ask(path, headers=headers), connection)

    asyncio.run(answer())

    assert connection.response[0] == status


def test_a_body_that_does_not_come_in_time_is_given_up(artefact: Artefact, tmp_path: Path) -> None:
    write_artefact(artefact, tmp_path)
    options = Options(body_s=0.06)
    app = ModelApp(load_model(tmp_path, options), options)
    connection = Silent(b"")

    async def answer() -> None:
        app.__rsgi_init__(asyncio.get_running_loop())
        await app.__rsgi__(Ask(headers={"content-type": JSON, "content-length": "1"}), connection)

    asyncio.run(answer())

    status, _, body = connection.response
    assert (status, body) == (408, b'{"error":"The body was not sent within 0.06 s."}')


@dataclass
class Watched:
    """A model that remembers whose thread it was asked in."""

    api: bytes = b"{}"
    threads: list[int] = field(default_factory=list)

    def predict(self, _: Exchange, __: bytes) -> bytes:
        self.threads.append(threading.get_ident())
        return b"[]"


@pytest.mark.parametrize(("rows", "beside"), [(1, False), (300, True), (9_000, True)])
def test_only_a_few_rows_are_computed_in_the_event_loop(rows: int, beside: bool) -> None:
    """All clients wait meanwhile, and /ping with them: 64 bodies of 27 ms each are more than its 2 s."""
    watched = Watched()
    connection = Connection(b"5,3.4,1.5,0.2\n" * rows)

    asyncio.run(ModelApp(cast("Served", watched)).__rsgi__(Ask(headers={"content-type": CSV}), connection))

    assert connection.response[0] == 200
    assert (watched.threads != [threading.get_ident()]) == beside


@dataclass
class Patient:
    """A model that has no answer for a large body before it was asked for another one."""

    api: bytes = b"{}"
    asked: threading.Event = field(default_factory=threading.Event)

    def predict(self, _: Exchange, body: bytes) -> bytes:
        if len(body) < 100_000:
            self.asked.set()
        return b"[]" if self.asked.wait(30) else b"late"


def test_a_body_of_ordinary_size_does_not_wait_for_a_large_one() -> None:
    app = ModelApp(cast("Served", Patient()))
    connections = [Connection(b"5,3.4,1.5,0.2\n" * rows) for rows in (100_000, 1_000)]

    async def ask_both() -> None:
        await asyncio.gather(*(app.__rsgi__(Ask(headers={"content-type": CSV}), one) for one in connections))

    asyncio.run(ask_both())

    assert [one.response[2] for one in connections] == [b"[]", b"[]"]


def test_a_body_that_broke_off_is_not_answered_as_if_it_were_whole(app: ModelApp) -> None:
    rows = b"50,2,gas,north\n150,5,,far\n"
    connection = Broken(rows)

    asyncio.run(app.__rsgi__(Ask(headers={"content-type": CSV}), connection))

    status, _, body = connection.response
    assert status == 400
    assert b"The body ended before it was whole" in body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "The body is empty"),
        ("  \n", "The body is empty"),
        ("[]", "There are no instances"),
        ("{", "The body is not JSON"),
        ("[\n1,]", "The body is not JSON: trailing comma is not allowed at line 2, column 2."),
        ("3", "The instances are not a list"),
        ("{}", "an object, but not one with one of instances, inputs,"),
        ('{"instances": [], "more": 1}', "not one with one of instances"),
        (f'{{"instances": [{ROW}], "instances": [{ROW}]}}', "An object has the key 'instances' twice"),
        ('[{"area": 1, "area": 2, "district": "a:b"}]', "An object has the key 'area' twice"),
        ("[[" + "[" * 1000 + "]" * 1000 + ', 2, "gas", "north"]]', "a list is not a number"),
        ("[" + "[" * 900 + '{"a": 1}' + "]" * 900 + "]", "Instance 0 has 1 values"),
        ('[{"area": 1' + "0" * 5000 + ', "district": "x:y"}]', "The body is not JSON"),
        ('{"dataframe_split": [1]}', 'not an object with "columns" and "data"'),
        ('{"dataframe_split": {"columns": ["area"], "data": []}}', "are not area, rooms, heating, district"),
        ('{"dataframe_split": {"columns": [1, 2, 3, 4], "data": []}}', "are not area, rooms, heating"),
        ('{"inputs": {"area": [1]}}', "The instances are not a list"),
        ("[3]", "Instance 0 is neither a list of values nor an object"),
        ("[[1, 2]]", "Instance 0 has 2 values; the model has 4 features"),
        (f'[{ROW}, {{"areas": 1}}]', "Instance 1 has an unknown column 'areas'"),
        (f'[{ROW}, {{"area": 1}}]', "Instance 1, column 'district': a value is missing"),
        ('[["50", 2, "gas", "north"]]', "Instance 0, column 'area': '50' is not a number"),
        ('[[true, 2, "gas", "north"]]', "column 'area': true is not a number"),
        ('[[[1], 2, "gas", "north"]]', "column 'area': a list is not a number"),
        ('[[NaN, 2, "gas", "north"]]', "The body is not JSON"),
        ('[[1e999, 2, "gas", "north"]]', "The body is not JSON"),
        ('[[1e39, 2, "gas", "north"]]', "column 'area': 1e+39 is beyond 1e+30"),
        ('[[1, 2.5, "gas", "north"]]', "column 'rooms': 2.5 is not an integer"),
        ('[[1, 2, "wood", "north"]]', "column 'heating': 'wood' is not allowed; allowed are gas, oil"),
        ('[[1, 2, 3, "north"]]', "column 'heating': 3 is not text"),
        ("[" * 100_000, "The body is not JSON"),
        (b"\xff\xfe", "The body is not JSON"),
        (b"\x80\x04K\x01.", "The body is not JSON"),
    ],
)
def test_a_wrong_json_body_is_refused_with_its_reason(app: ModelApp, body: str | bytes, reason: str) -> None:
    status, _, answer = ask(app, Ask(body=body))

    assert status == 400
    assert reason in answer["error"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("\n\n", "The body is empty"),
        ("area,rooms,heating,district\n", "There are no instances"),
        ("50,2,gas,north\n50,2\n", "Instance 1 has 2 values"),
        ("50,2,gas,north\nmany,2,gas,north\n", "Instance 1, column 'area': 'many' is not a number"),
        ("nan,2,gas,north", "column 'area': 'nan' is not a finite number"),
        ("٣,2,gas,north", "column 'area': '٣' is not a number"),
        ("1_0,2,gas,north", "column 'area': '1_0' is not a number"),
        (",2,gas,north", "column 'area': a value is missing"),
        ('50,2,"gas,north', "The body is not CSV"),
        (b"\xff,2,gas,north", "The body is not UTF-8 text"),
    ],
)
def test_a_wrong_csv_body_is_refused_with_its_reason(app: ModelApp, body: str | bytes, reason: str) -> None:
    status, _, answer = ask(app, Ask(body=body, headers={"content-type": CSV}))

    assert status == 400
    assert reason in answer["error"]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (Ask(headers={"content-type": "application/x-npy"}), 415, "send application/json or text/csv or"),
        (Ask(headers={}), 415, "Content-Type is not given"),
        (Ask(headers={"content-type": "text/csv\xe9"}), 400, "content-type holds other characters"),
        (Ask(headers={"content-type": JSON, "accept": "\xe9"}), 400, "accept holds other characters"),
        (
            Ask(headers={"content-type": JSON, "content-encoding": "\xe9"}),
            400,
            "content-encoding holds other characters",
        ),
        (Ask(headers={"content-type": JSON, "accept": f'{CSV};output="a,b"'}), 406, "no output 'a'"),
        (Ask(headers={"content-type": JSON, "accept": "image/png"}), 406, "Accept is image/png"),
        (Ask(headers={"content-type": JSON, "content-length": str(MAX_BODY_BYTES + 1)}), 413, "larger than"),
        (Ask(body=b" " * (MAX_BODY_BYTES + 1)), 413, "larger than"),
        (Ask(method="GET"), 405, "/invocations is asked with POST, not GET"),
        (Ask(headers={"content-type": "text/csv; charset=utf-16"}), 415, "charset is utf-16; send UTF-8"),
        (Ask(headers={"content-type": "application/x-pickle"}), 415, "Content-Type is application/x-pickle"),
        (
            Ask(headers={"content-type": JSON, "content-encoding": "gzip"}),
            415,
            "Content-Encoding is gzip",
        ),
        (Ask(headers={"content-type": JSON, "transfer-encoding": "gzip, chunked"}), 415, "send it chunked"),
        (Ask(headers={"content-type": JSON, "accept": "text/csv;q=2"}), 400, "a quality that is none"),
        (Ask(headers={"content-type": JSON, "accept": "text/csv;q=nan"}), 400, "a quality that is none"),
        (Ask(headers={"content-type": JSON, "accept": "*/*;q=0"}), 406, "Accept is */*;q=0"),
        (Ask(headers={"content-type": JSON, "accept": f"{CSV};output=x"}), 406, "There is no output 'x'"),
        (Ask(headers={"content-type": JSON, "accept": "a" * 1025}), 431, "over 1024 characters"),
        (Ask(path="/ping"), 405, "/ping is asked with GET"),
        (Ask(path="/"), 404, "ask /invocations or /ping"),
    ],
    ids=[
        "npy",
        "no-type",
        "type-beyond-ascii",
        "accept-beyond-ascii",
        "encoding-beyond-ascii",
        "output-in-quotes",
        "accept",
        "declared-size",
        "chunked-size",
        "method",
        "charset",
        "pickle",
        "gzip",
        "gzip-chunked",
        "high-q",
        "nan-q",
        "no-q",
        "output",
        "long",
        "ping-method",
        "path",
    ],
)
def test_a_wrong_request_is_refused_with_its_status(
    app: ModelApp, request_: Ask, status: int, reason: str
) -> None:
    answered, _, answer = ask(app, request_)

    assert answered == status
    assert reason in answer["error"]


@pytest.mark.parametrize(
    ("accept", "sent", "answered"),
    [
        (None, CSV, CSV),
        ("*/*", JSON, JSON),
        ("text/csv", JSON, CSV),
        ("application/json;q=0.9, text/csv", JSON, CSV),
        ("image/png, application/*", JSON, JSON),
        ("application/*, text/csv", CSV, JSON),
        ("text/csv;q=0.5, application/jsonlines;q=0.6", JSON, JSON_LINES),
        ("*/*;q=0.1, text/*", JSON, CSV),
        ("TEXT/CSV ; Q=1", JSON, CSV),
        ("*", JSON, JSON),
        ("text/html, *; q=.2", CSV, CSV),
        ("application/json;q=0, */*", CSV, CSV),
        ('image/png;a=", text/csv", application/jsonlines', CSV, JSON_LINES),
        ("", CSV, CSV),
        (" , ;q=1", CSV, CSV),
    ],
)
def test_accept_chooses_the_form_of_the_answer(accept: str | None, sent: str, answered: str) -> None:
    assert negotiate(sent, accept).answered == answered


def test_json_and_csv_are_the_same_matrix() -> None:
    features = (Feature("a", "number", True), Feature("b", "category", True, ("x", "y")))

    parser = RequestParser(features)

    from_json = parser.parse(JSON, b'[[1.5, "x"], [null, "y"], {"a": 0.1}]')
    from_csv = parser.parse(CSV, b"1.5,x\n,y\n0.1,\n")

    assert np.array_equal(from_json, from_csv, equal_nan=True)
    assert from_json.dtype == np.float32


def test_an_answer_that_is_not_finite_is_refused(artefact: Artefact) -> None:
    answers = np.array([[0.1, 0.2, 0.7], [np.nan, np.nan, np.nan]], dtype=np.float32)

    with pytest.raises(RequestError, match="Instance 1 has no finite prediction"):
        render_predictions(answers, artefact.card, accept=JSON)


def test_many_predictions_are_written_part_by_part_as_few_are(artefact: Artefact) -> None:
    answers = np.eye(3, dtype=np.float32)[np.arange(2 * PART_ROWS + 1) % 3]

    whole = {
        kind: render_predictions(answers, artefact.card, accept=kind) for kind in (JSON, JSON_LINES, CSV)
    }

    objects = orjson.loads(render_predictions(answers[:3], artefact.card, accept=JSON))["predictions"]
    expected = [objects[i % 3] for i in range(len(answers))]
    assert orjson.loads(whole[JSON]) == {"predictions": expected}
    assert [orjson.loads(line) for line in whole[JSON_LINES].splitlines()] == expected
    assert whole[CSV].decode().splitlines() == [each["label"] for each in expected]


def test_values_and_labels_with_commas_are_written_whole(artefact: Artefact) -> None:
    labels = replace(artefact.card, classes=("a,b", 'c"', "d"))
    values = replace(artefact.card, classes=())
    probabilities = np.eye(3, dtype=np.float32)

    assert render_predictions(probabilities, labels, accept=CSV) == b'"a,b"\n"c"""\nd\n'
    assert render_predictions(np.array([1.5, -2], dtype=np.float32), values, accept=CSV) == b"1.5\n-2.0\n"
    assert render_predictions(np.array([1.5], dtype=np.float32), values, accept=JSON) == (
        b'{"predictions":[{"value":1.5}]}'
    )


def test_settings_are_sagemakers_variables() -> None:
    settings = read_settings(
        {
            "SAGEMAKER_BASE_DIR": "/base",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
        },
        cpus=5,
    )

    assert (settings.model, settings.port) == (Path("/base/model"), 9000)
    assert settings.options == Options(max_body_bytes=6 * MEBIBYTE, workers=3, threads=5)
    assert read_settings({}, cpus=5).port == 8080
    assert read_settings({}, cpus=5).options == Options(max_body_bytes=MAX_BODY_BYTES, workers=5, threads=5)
    assert read_settings({"SM_MODEL_DIR": "/m"}, cpus=1).model == Path("/m")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    names = ["SAGEMAKER_BASE_DIR", "SM_MODEL_DIR", "BIND_HOST", "SERVE_USER", "SAGEMAKER_BIND_TO_PORT"]
    names += ["SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "SAGEMAKER_INFERENCE_OUTPUT"]

    assert read_settings(dict.fromkeys(names, ""), cpus=1) == read_settings({}, cpus=1)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "image/png", "which no answer can have"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv;q=2", "a quality that is none"),
        ("BIND_HOST", "localhost", "it must be an IP address"),
        ("BIND_HOST", "[::1]", "it must be an IP address"),
    ],
)
def test_a_setting_without_a_meaning_ends_the_server(variable: str, value: str, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason) as ended:
        read_settings({variable: value}, cpus=1)

    assert str(ended.value).startswith(f"{variable} is '{value}'")


def test_a_user_who_is_not_there_ends_the_server() -> None:
    with pytest.raises(SystemExit, match="SERVE_USER is 'nobody-here'; there is no such user"):
        give_up_root("nobody-here")


def test_a_root_without_its_rights_is_told_to_start_as_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.setgroups", refuse)

    with pytest.raises(SystemExit, match=r"may not become another user: Operation not permitted\. Start the"):
        give_up_root("nobody")


def test_the_address_may_be_of_version_6() -> None:
    assert read_settings({"BIND_HOST": "::"}, cpus=1).host == "::"


def test_a_port_that_is_taken_ends_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = read_settings({"BIND_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port)}, cpus=1)

        with pytest.raises(
            SystemExit, match=f"Cannot listen on 127.0.0.1 port {port}: Address already in use"
        ):
            check_port(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        pytest.param("SAGEMAKER_BIND_TO_PORT", "9" * 5000, id="long"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "101"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-1"),
    ],
)
def test_a_setting_that_is_none_ends_the_server_with_its_name(variable: str, value: str) -> None:
    with pytest.raises(SystemExit, match=f"{variable} is '{value}'; it must be a whole number"):
        read_settings({variable: value}, cpus=1)


SERVER = """
import multiprocessing
multiprocessing.set_start_method("spawn")  # as a later Python may do by default
from model_src.server import main
raise SystemExit(main())
"""


def test_workers_are_forked_whatever_python_does_by_default(tmp_path: Path) -> None:
    """Only a worker that is forked has the model, or the reason for having none."""
    port = free_port()
    environ = {
        **os.environ,
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SM_MODEL_DIR": str(tmp_path),
    }
    server = subprocess.Popen([sys.executable, "-c", SERVER], env=environ, stdout=subprocess.DEVNULL)
    try:
        while b"cannot be loaded" not in read_ping(port):
            assert server.poll() is None
            time.sleep(0.05)
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0


def read_ping(port: int) -> bytes:
    """The answer's body; nothing while nobody listens."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().read()
        except OSError:
            return b""


def test_an_output_that_the_model_has_not_ends_the_server(artefact: Artefact, tmp_path: Path) -> None:
    write_artefact(artefact, tmp_path)

    with pytest.raises(SystemExit, match="SAGEMAKER_INFERENCE_OUTPUT: There is no output 'score'; choose of"):
        load(tmp_path, SAGEMAKER_INFERENCE_OUTPUT="score")


@pytest.mark.parametrize(
    ("workers", "limit_mb", "offered_mb"), [(1, 25, 25), (8, 25, 12), (200, 100, 1), (2, 100, 50)]
)
def test_execution_parameters_stay_within_batch_transforms_limit(
    artefact: Artefact, tmp_path: Path, workers: int, limit_mb: int, offered_mb: int
) -> None:
    write_artefact(artefact, tmp_path)
    app = load(
        tmp_path,
        SAGEMAKER_MODEL_SERVER_WORKERS=str(workers),
        SAGEMAKER_MAX_PAYLOAD_IN_MB=str(limit_mb),
    )

    status, _, answer = ask(app, Ask(path="/execution-parameters", method="GET"))

    assert status == 200
    assert answer == {
        "MaxConcurrentTransforms": min(workers, 100),  # times 1 MB
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": offered_mb,
    }


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("model_src.server", {"sklearn", "skl2onnx", "onnx", "scipy", "pandas", "yaml", "jsonschema"}),
        ("model_src.evaluation", {"sklearn", "skl2onnx", "onnx", "scipy", "pandas"}),
    ],
)
def test_what_serves_and_judges_imports_no_training_library(module: str, forbidden: set[str]) -> None:
    program = f"import {module}, sys; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert not forbidden & set(loaded.split())
