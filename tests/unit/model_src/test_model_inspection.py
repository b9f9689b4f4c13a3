"""Hostile models are refused with their reason, in a child process; what `train` writes passes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from model_src.artefact import Artefact, Card, write_artefact
from model_src.encoding import Feature
from model_src.errors import ArtefactError
from model_src.graph import MAX_NODES, check_graph
from model_src.inspection import Limits, inspect_artefact, run_limited
from model_src.predictor import Predictor
from model_src.server import load_model

CARD = Card("m", "regression", "y", (Feature("x", "number", missing=False),), (), 0.0, {})
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def tensor(name: str, kind: int = TensorProto.FLOAT, shape: tuple[Any, ...] = (None, 1)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    *nodes: Any,
    initializers: list[Any] | None = None,
    functions: Any = (),
    opsets: Any = OPSETS,
    **graph: Any,
) -> onnx.ModelProto:
    """A model that answers `value` (n, 1) for `features` (n, 1)."""
    made = helper.make_graph(
        list(nodes), "model", [tensor("features")], [tensor("value")], initializers or [], **graph
    )
    return helper.make_model(made, opset_imports=opsets, functions=functions, ir_version=8)


def node(operator: str, *inputs: str, out: str = "value", **attributes: Any) -> Any:
    return helper.make_node(operator, list(inputs), [out], **attributes)


def identity() -> onnx.ModelProto:
    return model(node("Identity", "features"))


def artefact(content: onnx.ModelProto | bytes) -> Artefact:
    return Artefact(CARD, content if isinstance(content, bytes) else content.SerializeToString())


def body(name: str) -> Any:
    """A graph for a loop or a branch."""
    keep = helper.make_node("Identity", ["on"], ["on_out"])
    same = helper.make_node("Identity", ["x"], [name])
    ins = [tensor("i", TensorProto.INT64, ()), tensor("on", TensorProto.BOOL, ()), tensor("x")]
    return helper.make_graph(
        [keep, same], "body", ins, [tensor("on_out", TensorProto.BOOL, ()), tensor(name)]
    )


def endless_loop() -> onnx.ModelProto:
    on = helper.make_tensor("on", TensorProto.BOOL, (), [True])
    count = helper.make_tensor("count", TensorProto.INT64, (), [2**62])
    loop = node("Loop", "count", "on", "features", body=body("x_out"))
    return model(loop, initializers=[on, count])


def external_data() -> onnx.ModelProto:
    outside = helper.make_tensor("w", TensorProto.FLOAT, (1,), [1.0])
    outside.ClearField("float_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../../../../etc/passwd")
    return model(node("Add", "features", "w"), initializers=[outside])


def hidden_external_data() -> onnx.ModelProto:
    """In an attribute's tensor, not among the graph's."""
    made = external_data()
    constant = node("Constant", out="w", value=made.graph.initializer[0])
    return model(constant, node("Add", "features", "w"))


def giant_tensor() -> onnx.ModelProto:
    giant = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**20, 2**20])
    return model(node("Add", "features", "w"), initializers=[giant])


def giant_fill() -> onnx.ModelProto:
    shape = helper.make_tensor("shape", TensorProto.INT64, (2,), [2**20, 2**20])
    return model(
        node("ConstantOfShape", "shape", out="w"), node("Add", "features", "w"), initializers=[shape]
    )


def sparse_tensor() -> onnx.ModelProto:
    values = helper.make_tensor("w", TensorProto.FLOAT, (1,), [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, (1,), [0])
    sparse = helper.make_sparse_tensor(values, indices, [2**40])
    return model(node("Identity", "features"), sparse_initializer=[sparse])


def own_function() -> onnx.ModelProto:
    made = helper.make_function("evil", "f", ["x"], ["y"], [node("Identity", "x", out="y")], OPSETS)
    opsets = [*OPSETS, helper.make_opsetid("evil", 1)]
    return model(
        helper.make_node("f", ["features"], ["value"], domain="evil"), functions=[made], opsets=opsets
    )


def custom_operator() -> onnx.ModelProto:
    return model(helper.make_node("Evil", ["features"], ["value"], domain="com.evil"))


def chain(length: int) -> onnx.ModelProto:
    names = ["features", *(f"n{index}" for index in range(length - 1)), "value"]
    return model(*(node("Identity", names[i], out=names[i + 1]) for i in range(length)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (external_data, r"outside its own file \(external data\)"),
        (hidden_external_data, r"outside its own file \(external data\)"),
        (endless_loop, "a graph inside a graph: loops and branches are not served"),
        (lambda: model(node("Loop", "features")), "operator 'Loop', which is not served"),
        (giant_tensor, "declares a tensor of 1099511627776 elements"),
        (giant_fill, "operator 'ConstantOfShape'"),
        (sparse_tensor, "graph has field 15"),
        (own_function, "functions of its own|operators of .evil."),
        (custom_operator, "operators of 'com.evil'"),
        (
            lambda: model(node("Identity", "features"), opsets=[helper.make_opsetid("x.y", 1)]),
            "operators of 'x.y'",
        ),
        (lambda: chain(MAX_NODES + 1), "more than 10000 nodes"),
        (lambda: model(node("RandomNormalLike", "features")), "operator 'RandomNormalLike'"),
        (lambda: pickle.dumps({"a": 1}), "model.onnx is a pickle"),
        (lambda: b"\x93NUMPY\x01\x00", "is a numpy array"),
        (lambda: b"PK\x03\x04", "is a zip file"),
        (lambda: b"\x18\x00\x00\x00ORTM", "ONNX Runtime's own format"),
        (lambda: identity().SerializeToString()[:-3], "not an ONNX file: byte"),
        (lambda: b"", "no graph"),
        (lambda: b"\x0a" * 1000, "not an ONNX file|has field"),
        (lambda: model(node("Add", "features")), "ONNX Runtime cannot load the model"),
        (lambda: model(node("Identity", "features", out="other")), "ONNX Runtime cannot load the model"),
    ],
)
def test_a_hostile_model_is_refused_with_its_reason(content: Callable[[], Any], reason: str) -> None:
    with pytest.raises(ArtefactError, match=reason):
        inspect_artefact(artefact(content()))


def two_features(*nodes: Any, initializers: list[Any], classes: tuple[str, ...]) -> Artefact:
    """A model of two features that answers probabilities."""
    made = helper.make_graph(
        list(nodes),
        "model",
        [tensor("features", shape=(None, 2))],
        [tensor("probabilities", shape=(None, 2))],
        initializers,
    )
    content = helper.make_model(made, opset_imports=OPSETS, ir_version=8).SerializeToString()
    features = (Feature("x", "number", missing=False), Feature("c", "category", True, ("a", "b")))
    return Artefact(replace(CARD, task="classification", features=features, classes=classes), content)


ROUND = node("Sigmoid", "features", out="s")


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        (
            [ROUND, node("ReduceMean", "s", out="probabilities", axes=[0])],
            "answers 1000 rows with 1; it mixes",
        ),
        (
            [ROUND, node("Slice", "s", "first", "last", out="probabilities")],
            "answers 1000 rows with 1; it mixes",
        ),
        (
            [node("Identity", "features", out="probabilities")],
            "probabilities are from 0 to 999, not from 0 to 1",
        ),
        (
            [node("Sub", "features", "features", out="n"), node("Div", "n", "n", out="probabilities")],
            "answers none of 1000 rows with a finite number",
        ),
    ],
    ids=["mean", "slice", "range", "nan"],
)
def test_a_model_that_does_not_answer_row_by_row_is_refused(nodes: list[Any], reason: str) -> None:
    ends = [
        helper.make_tensor(name, TensorProto.INT64, (1,), [at]) for name, at in (("first", 0), ("last", 1))
    ]

    with pytest.raises(ArtefactError, match=reason):
        inspect_artefact(two_features(*nodes, initializers=ends, classes=("no", "yes")))


def test_a_model_that_answers_row_by_row_passes() -> None:
    inspect_artefact(
        two_features(node("Sigmoid", "features", out="probabilities"), initializers=[], classes=("no", "yes"))
    )


def test_a_model_that_drops_rows_of_a_request_gives_no_answer() -> None:
    """Whatever the trial saw: of some numbers of rows it might drop none."""
    only_one = model(node("ReduceMean", "features", axes=[0])).SerializeToString()

    with pytest.raises(ArtefactError, match="answers 3 rows with 1; it mixes or drops rows"):
        Predictor(only_one).predict(np.ones((3, 1), dtype=np.float32))


def test_a_model_that_needs_much_memory_per_row_is_refused() -> None:
    """Each step multiplies every row with every other: 1,000, 10^6, 10^12 numbers."""
    column = helper.make_tensor("column", TensorProto.INT64, (2,), [-1, 1])
    row = helper.make_tensor("row", TensorProto.INT64, (2,), [1, -1])
    nodes = []
    for before, after in (("features", "a"), ("a", "b")):
        nodes += [
            node("Reshape", before, "column", out=f"{after}c"),
            node("Reshape", before, "row", out=f"{after}r"),
        ]
        nodes.append(node("Mul", f"{after}c", f"{after}r", out=after))
    hungry = model(*nodes, node("ReduceSum", "b", keepdims=1), initializers=[column, row])

    with pytest.raises(ArtefactError, match=r"cannot be tried out: .*[Ff]ailed to allocate"):
        inspect_artefact(artefact(hungry))


def spin() -> NoReturn:
    while True:
        pass


def crash() -> NoReturn:
    os.kill(os.getpid(), signal.SIGUSR1)
    raise AssertionError


@pytest.mark.parametrize(
    ("work", "limits", "reason"),
    [
        (spin, Limits(cpu_s=1), "ended with more than 1 s of CPU"),
        (lambda: time.sleep(600), Limits(wall_s=1), "ended with more than 1 s"),
        (lambda: bytes(2 * 1024**3), Limits(), "cannot be tried out: MemoryError"),
        (crash, Limits(), r"ended with a crash \(SIGUSR1\)"),
        (lambda: os._exit(7), Limits(), "ended with exit code 7"),
    ],
    ids=["cpu", "wall", "memory", "crash", "exit"],
)
def test_a_child_that_does_not_end_well_refuses(work: Any, limits: Limits, reason: str) -> None:
    with pytest.raises(ArtefactError, match=reason):
        run_limited(work, limits, size_bytes=0)


PARENT = """
import os, signal, sys, time
from model_src.inspection import Limits, run_limited
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the server does while it loads
run_limited(lambda: (print(os.getpid(), flush=True), time.sleep(600)), Limits(), size_bytes=0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number: int) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux can")
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())

    parent.send_signal(number)
    try:
        parent.communicate(timeout=60)  # until nobody has the pipe any more
    except subprocess.TimeoutExpired:
        os.kill(child, signal.SIGKILL)
        raise


def test_a_signal_among_the_hooks_of_a_fork_is_not_lost() -> None:
    hook = "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))"
    begin, call = PARENT.split("run_limited(", 1)

    parent = subprocess.run(
        [sys.executable, "-c", f"{begin}{hook}\nrun_limited({call}"], capture_output=True, timeout=60
    )

    assert parent.returncode == 0
    assert parent.stderr == b""


def test_a_child_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "left"

    with pytest.raises(ArtefactError, match="File too large"):
        run_limited(lambda: file.write_text("x") and None, Limits(), size_bytes=0)
    assert file.read_text() == ""


def test_a_refused_model_is_not_loaded_by_the_server(tmp_path: Path) -> None:
    """The loop would never end where it is run."""
    write_artefact(artefact(endless_loop()), tmp_path)

    loaded = load_model(tmp_path)

    assert isinstance(loaded, str)
    assert "loops and branches are not served" in loaded


def test_long_lists_of_numbers_are_passed_over_without_a_step_each() -> None:
    many = 100_000
    attributes: dict[str, Any] = {
        "nodes_values": [0.5] * many,
        "nodes_falsenodeids": list(range(300, 300 + many)),
        "nodes_modes": ["BRANCH_LEQ", "LEAF"] * (many // 2),
    }
    trees = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["value"], domain="ai.onnx.ml", **attributes
    )
    content = model(trees).SerializeToString()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        check_graph(content)
    finally:
        sys.setprofile(None)

    assert calls < 5000


def test_a_model_at_the_limit_of_nodes_passes() -> None:
    check_graph(chain(MAX_NODES).SerializeToString())
    inspect_artefact(artefact(identity()))
