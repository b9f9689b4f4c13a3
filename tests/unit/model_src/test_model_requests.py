"""Any body is answered as the exact way reads it, or refused with 400: nothing else, whatever it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model_src.encoding import Feature, encode_text, encode_values
from model_src.errors import RequestError
from model_src.media import CSV, JSON, JSON_LINES
from model_src.request import RequestParser

MIXED = (
    Feature("a", "number", True),
    Feature("b", "integer", False, allowed=(1, 2, 3)),
    Feature("c", "category", True, ("x", "y")),
    Feature("d", "category", False, ("x", "y"), closed=False),
)
NUMBERS = (Feature("a", "number", True), Feature("b", "integer", False), Feature("c", "number", False))
MODELS = st.sampled_from([MIXED, NUMBERS, NUMBERS[:1]])

CELLS = st.one_of(
    st.integers(-3, 4),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["x", "y", "z", " x ", "", None, True, "1", [], {}, "a:b"]),
    st.text(max_size=3),
)
TEXTS = st.sampled_from(
    [
        "1",
        " 2 ",
        "-1.5",
        "1e3",
        "1e999",
        "nan",
        "inf",
        "",
        " ",
        "x",
        "y",
        "é",
        "1_0",
        "٣",
        '"x"',
        '"1,2"',
        "0x1",
        "+1",
    ]
)


class Exact(RequestParser):
    """A parser without the fast ways."""

    _encode_json = _encode_csv = _read_numbers = _read_few = lambda *_: None


class LongOnly(RequestParser):
    """A parser that takes every CSV body for a long one."""

    _read_few = RequestParser._read_numbers


class Parts(RequestParser):
    """A parser that takes every body for a very long one."""

    part_rows = 2
    part_bytes = 8


def outcome(parser: RequestParser, content_type: str, body: bytes) -> list[Any] | str:
    """The cells' bytes, or the reason for there being none."""
    try:
        matrix = parser.parse(content_type, body)
    except RequestError as error:
        return f"{error.status}: {error}"
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    return [matrix.shape, matrix.tobytes()]


def alike(one: list[Any] | str, other: list[Any] | str) -> bool:
    """Whether both are the same cells, or both refusals, which name the fault that each came upon first."""
    return (isinstance(one, str) and isinstance(other, str)) or one == other


@settings(max_examples=100, deadline=None)
@given(
    features=MODELS, rows=st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=4), lines=st.booleans()
)
def test_json_is_read_fast_as_it_is_read_exactly(
    features: tuple[Feature, ...], rows: list[list[Any]], lines: bool
) -> None:
    body = "\n".join(map(json.dumps, rows)) if lines else json.dumps({"instances": rows})
    kind = JSON_LINES if lines else JSON

    exact = outcome(Exact(features), kind, body.encode())
    assert outcome(RequestParser(features), kind, body.encode()) == exact
    assert alike(outcome(Parts(features), kind, body.encode()), exact)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from("abcde"), CELLS), max_size=4))
def test_objects_are_read_fast_as_they_are_read_exactly(rows: list[dict[str, Any]]) -> None:
    body = json.dumps(rows).encode()

    exact = outcome(Exact(MIXED), JSON, body)
    assert outcome(RequestParser(MIXED), JSON, body) == exact
    assert alike(outcome(Parts(MIXED), JSON, body), exact)


@settings(max_examples=100, deadline=None)
@example(features=NUMBERS[:1], rows=[["nan"]], header=False, end="\n")
@given(
    features=MODELS,
    rows=st.lists(st.lists(TEXTS, min_size=1, max_size=4), max_size=4),
    header=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_csv_is_read_fast_as_it_is_read_exactly(
    features: tuple[Feature, ...], rows: list[list[str]], header: bool, end: str
) -> None:
    names = [",".join(feature.name for feature in reversed(features))] if header else []
    body = end.join([*names, *map(",".join, rows)]).encode()
    exact = outcome(Exact(features), CSV, body)

    assert outcome(RequestParser(features), CSV, body) == exact
    assert outcome(LongOnly(features), CSV, body) == exact
    assert alike(outcome(Parts(features), CSV, body), exact)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60), kind=st.sampled_from([CSV, JSON, JSON_LINES]))
def test_any_bytes_are_read_or_refused(body: bytes, kind: str) -> None:
    result = outcome(RequestParser(MIXED), kind, body)

    assert not isinstance(result, str) or result.startswith("400: ")


JSON_VALUES = st.recursive(
    CELLS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@settings(max_examples=100, deadline=None)
@given(value=JSON_VALUES, name=st.sampled_from(["instances", "inputs", "dataframe_split", "a"]))
def test_any_json_is_read_or_refused(value: Any, name: str) -> None:
    outcome(RequestParser(MIXED), JSON, json.dumps(value).encode())
    outcome(RequestParser(MIXED), JSON, json.dumps({name: value}).encode())


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ('[{"a": 1, "b": 1, "d": "x:y"}]', False),
        ('[{"a": 1, "b": 1, "d": "x", "b": 1}]', True),
        ('[{"a": 1, "b": 1, "d": "x", "\\u0062": 1}]', True),
        ('[{"a": 1, "b": 1, "d": "x"}, {"a": 1, "b": 1, "d": "::"}]', False),
    ],
)
def test_a_key_that_stands_twice_is_found_and_a_colon_is_not_one(body: str, refused: bool) -> None:
    result = outcome(RequestParser(MIXED), JSON, body.encode())

    assert (result == "400: An object has the key 'b' twice.") == refused
    assert isinstance(result, str) == refused


@pytest.mark.parametrize(
    "index", ['["12:00:01"]', '["\\\\", "\\":{"]', '[{"a": 1}, {"a": 2}]', '{"a" :{"a":":"}}']
)
def test_keys_are_told_from_text_in_an_index_that_is_not_used(index: str) -> None:
    body = f'{{"dataframe_split": {{"index": {index}, "columns": ["a"], "data": [[1]]}}}}'

    assert RequestParser([Feature("a", "number", False)]).parse(JSON, body.encode()).tolist() == [[1]]


def test_a_key_that_stands_twice_in_an_unused_index_is_found() -> None:
    body = b'{"dataframe_split": {"columns": ["a"], "data": [[1]], "index": [{"b": {"b": ":"}, "b": 1}]}}'

    result = outcome(RequestParser([Feature("a", "number", False)]), JSON, body)

    assert result == "400: An object has the key 'b' twice."


def with_index(index: str) -> str:
    return f'{{"dataframe_split": {{"columns": ["a"], "data": [[1]], "index": {index}}}}}'


def many(text: str, times: int) -> str:
    return ",".join([text] * times)


@pytest.mark.parametrize(
    ("sort", "body"),
    [
        (JSON, with_index("{" + ",".join(f'"{i:09}":1' for i in range(110_000)) + "}")),
        (JSON, with_index("[" + many("[[]]", 2_100_000) + "]")),
        (JSON, "[{" + many('"a" :1234', 110_000) + "}]"),
        (JSON_LINES, "{" + many('"a":12345', 110_000) + "}"),
    ],
    ids=["index", "lists", "instance", "line"],
)
def test_what_would_be_read_for_seconds_in_one_go_is_refused(sort: str, body: str) -> None:
    """No other thread runs meanwhile, and /ping is not answered."""
    result = outcome(RequestParser([Feature("a", "number", False)]), sort, body.encode())

    assert str(result).startswith("413: Over 100000 keys or 4000000 brackets are in ")


def test_a_long_index_of_times_is_read() -> None:
    body = with_index(json.dumps(["12:00:01"] * 120_000))

    assert RequestParser([Feature("a", "number", False)]).parse(JSON, body.encode()).tolist() == [[1]]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ('[["},{", 1], ["x", 2], ["},{", 3]]', [[-2, 1], [0, 2], [-2, 3]]),
        ('{"inputs": [{"c": "],[", "a": 1}, {"a": 2, "c": "x"}]}', [[-2, 1], [0, 2]]),
        (
            '{"dataframe_split": {"columns": ["a", "c"], "data": [[1, "{"], [2, "x"], [3, "]"]]}}',
            [[-2, 1], [0, 2], [-2, 3]],
        ),
        ('[["x", 1], ["x", 2],]', "400: The body is not JSON: trailing comma"),
        ('[["x", 1], ["x", 2]', "400: The body is not JSON: unexpected end of data"),
        ('{"inputs": [["x", 1], ["x", 2]], "inputs": []}', "400: There are no instances."),
        (
            '{"inputs": [["x", 1], ["x", 2]], "inputs": [["x", 1]]}',
            "400: An object has the key 'inputs' twice",
        ),
        ('[["x", 1], ["x", 2], {"a": 1, "a": 1, "c": "x"}]', "400: An object has the key 'a' twice"),
        ('[["x", 1], ["x", 2], ["x", 3, 4]]', "400: Instance 2 has 3 values"),
        ('[["x", 1], ["x", 2], ["x", "3"]]', "400: Instance 2, column 'a': '3' is not a number"),
        ('[["x", 1], [["x"], 2]]', "400: Instance 1, column 'c': a list is not text"),
    ],
)
def test_a_large_json_body_may_be_cut_anywhere(body: str, result: list[list[float]] | str) -> None:
    parser = Parts([Feature("c", "category", False, ("x",), closed=False), Feature("a", "number", False)])

    read = outcome(parser, JSON, body.encode())

    if isinstance(read, str):
        assert read.startswith(str(result))
    else:
        assert parser.parse(JSON, body.encode()).tolist() == result


@pytest.mark.parametrize("index", ["[[1],[2],[3]]", '["],["]', "[{},{}]", '{"a":[[1],[2]]}', "[]"])
@pytest.mark.parametrize("order", ["columns data index", "columns index data", "index data columns"])
@pytest.mark.parametrize("name", ["index", "ind\\u0065x"])
def test_the_index_of_a_large_dataframe_is_not_taken_for_instances(index: str, order: str, name: str) -> None:
    members = {"columns": '["a"]', "data": "[[1],[2],[3]]", "index": index}
    named = (f'"{name if key == "index" else key}":{members[key]}' for key in order.split())
    body = f'{{"dataframe_split":{{{",".join(named)}}}}}'

    matrix = Parts([Feature("a", "number", False)]).parse(JSON, body.encode())

    assert matrix.tolist() == [[1], [2], [3]]


ROWS = st.lists(st.lists(st.sampled_from([1, "x", "],[", '"', [[1], [2]], {"a": [[1], [2]]}]), max_size=2))


@settings(max_examples=300, deadline=None)
@given(
    outer=st.sampled_from(["instances", "dataframe_split"]),
    members=st.lists(
        st.tuples(st.sampled_from(["columns", "data", "index", "instances", "more"]), ROWS), max_size=3
    ),
    rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["x", "],[", "\\"])), min_size=1),
    part_bytes=st.integers(0, 20),
)
def test_a_cut_body_is_read_as_a_whole_one(
    outer: str, members: list[tuple[str, Any]], rows: list[Any], part_bytes: int
) -> None:
    """Whatever stands behind the instances, or in their place, in whichever object."""
    features = (Feature("a", "number", False), Feature("c", "category", False, ("x",), closed=False))
    data, more = (
        json.dumps(rows),
        "".join(f",{json.dumps(key)}:{json.dumps(value)}" for key, value in members),
    )
    split = '{"dataframe_split":{"columns":["a","c"],"data":%s%s}}'
    body = (split if outer == "dataframe_split" else '{"instances":%s%s}') % (data, more)
    parser = Parts(features)
    parser.part_bytes = part_bytes

    assert alike(outcome(parser, JSON, body.encode()), outcome(RequestParser(features), JSON, body.encode()))


def test_a_long_csv_body_is_read_as_a_short_one() -> None:
    rows = [f"{i / 7},{i},{-i}" for i in range(2000)]
    parser = RequestParser(NUMBERS)

    matrix = parser.parse(CSV, ("c,b,a\n" + "\n".join(rows)).encode())

    short = np.vstack([parser.parse(CSV, row.encode())[:, ::-1] for row in rows[:100]])
    assert np.array_equal(matrix[:100], short)
    assert matrix.shape == (2000, 3)


def test_exact_ways_are_those_of_the_dataset() -> None:
    text = encode_text(NUMBERS[0], ["1.5", ""])
    values = encode_values(NUMBERS[0], [1.5, None])

    assert np.array_equal(text, values, equal_nan=True)


class Fast(RequestParser):
    """Has none of the exact way of reading CSV."""

    def _csv_rows(self, body: bytes) -> Iterator[list[str]]:
        raise NotImplementedError


@pytest.mark.parametrize("rows", [1, 1_000])
def test_csv_is_read_fast_below_a_header_with_an_underscore(rows: int) -> None:
    features = [Feature(name, "number", False) for name in ("sepal_length", "sepal_width")]
    body = b"sepal_width,sepal_length\r\n" + b"2,1\r\n" * rows

    assert Fast(features).parse(CSV, body).tolist() == [[1, 2]] * rows
    assert outcome(RequestParser(features), CSV, body + b"1_0,1\r\n").startswith("400: ")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ["", "c,b,a"])
def test_a_csv_body_is_read_part_by_part(end: str, header: str) -> None:
    """However its lines end, and whatever blank ones it has: in one go, /ping would wait until it is read."""
    rows = [f"{i / 7},{i},{-i}" for i in range(100)]
    body = end.join(([header] if header else []) + [*rows, "", "", ""] * 2).encode()
    read: list[int] = []

    class Counting(Parts):
        def _read_part(self, text: bytes, order: list[int] | None) -> Any:
            read.append(len(text))
            return super()._read_part(text, order)

    matrix = Counting(NUMBERS).parse(CSV, body)

    assert np.array_equal(matrix, RequestParser(NUMBERS).parse(CSV, body))
    assert matrix.shape == (200, 3)
    assert max(read) < 50
