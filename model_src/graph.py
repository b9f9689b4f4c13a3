"""What an ONNX file may hold, checked on its bytes: no library has read them when this does.

The first half of an inspection (see inspection.py). The file is protobuf's wire format of onnx.proto3; every
field that this module does not know is refused, so that nothing is hidden from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from model_src.errors import ArtefactError

MAX_NODES: Final = 10_000
DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")

# Operators whose output is bounded by their input and by constants in the file, and which end by themselves.
OPERATORS: Final = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization Cast CastLike Ceil Clip
    Concat Constant Cos Cosh CumSum Div Elu Equal Erf Exp Flatten Floor Gather GatherElements GatherND Gelu
    Gemm Greater GreaterOrEqual HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max Mean Min Mish Mod
    Mul Neg Not Or PRelu Pow Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape Sigmoid Sign Sin Sinh Size
    Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu TopK Transpose
    Unsqueeze Where Xor
    ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder LinearClassifier
    LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
    TreeEnsembleClassifier TreeEnsembleRegressor
    """.split()  # noqa: SIM905 - a line each would be a page
)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# The long lists of a tree ensemble, an element a field: its numbers, and the names of its branches.
_ELEMENTS = re.compile(
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}+[\x00-\x7f]|\x4a\x04LEAF|\x4a\x0aBRANCH_LEQ|\x4a\x09BRANCH_LT)++",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Field:
    """One field of a message: its number, its wire type, and where its bytes are; a varint has a value."""

    number: int
    wire: int
    start: int
    end: int
    value: int = 0


def check_graph(onnx: bytes) -> None:
    """Nothing, for a model of plain operators with all its data in the file.

    Raises: ArtefactError that says what it holds instead.
    """
    if onnx[4:8] == b"ORTM":
        raise ArtefactError("The model is in ONNX Runtime's own format; only ONNX itself is served.")
    _Reader(onnx).model()


class _Reader:
    """Walks through one file; counts its nodes on the way."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._nodes = 0

    def model(self) -> None:
        for field in self._fields(0, len(self._data)):
            if field.number == 7:
                self._graph(field)
            elif field.number == 8:
                self._opset(field)
            elif field.number == 25:
                raise ArtefactError("The model defines functions of its own; only ONNX's are served.")
            else:
                self._plain(field, "model", known=(1, 2, 3, 4, 5, 6, 14))
        if not self._nodes:
            raise ArtefactError("The model has no graph; is this an ONNX file?")

    def _graph(self, graph: _Field) -> None:
        for field in self._inside(graph):
            if field.number == 1:
                self._node(field)
            elif field.number == 5:
                self._tensor(field)
            else:
                self._plain(field, "graph", known=(2, 10, 11, 12, 13, 16))

    def _node(self, node: _Field) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ArtefactError(f"The model's graph has more than {MAX_NODES} nodes.")
        operator = domain = ""
        for field in self._inside(node):
            if field.number == 4:
                operator = self._text(field)
            elif field.number == 5:
                self._attribute(field)
            elif field.number == 7:
                domain = self._text(field)
            else:
                self._plain(field, "node", known=(1, 2, 3, 6, 9))
        _check_domain(domain)
        if operator not in OPERATORS:
            raise ArtefactError(
                f"The model uses the operator {operator[:100]!r}, which is not served: it may run "
                "without end, make tensors of any size, or is not ONNX's (OPERATORS in model_src/graph.py)."
            )

    def _attribute(self, attribute: _Field) -> None:
        position, end = attribute.start, attribute.end
        while position < end:
            # A tree ensemble has a field for each number: they are passed over in one step.
            if elements := _ELEMENTS.match(self._data, position, end):
                position = elements.end()
                continue
            field = self._field(position, end)
            position = field.end
            if field.number in (5, 10):
                self._tensor(field)
            elif field.number in (6, 11):
                raise ArtefactError(
                    "The model holds a graph inside a graph: loops and branches are not served."
                )
            else:
                self._plain(field, "attribute", known=(1, 2, 3, 4, 7, 8, 9, 13, 20))

    def _tensor(self, tensor: _Field) -> None:
        elements = 1
        for field in self._inside(tensor):
            if field.number == 1:
                for size in self._varints(field):
                    elements *= size
            elif field.number == 13 or (field.number == 14 and field.value):
                raise ArtefactError("The model keeps data outside its own file (external data).")
            else:
                self._plain(field, "tensor", known=(2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16))
        size_bytes = tensor.end - tensor.start
        if elements > 2 * size_bytes:  # the smallest type has two elements a byte
            raise ArtefactError(f"The model declares a tensor of {elements} elements in {size_bytes} bytes.")

    def _opset(self, opset: _Field) -> None:
        for field in self._inside(opset):
            if field.number == 1:
                _check_domain(self._text(field))
            else:
                self._plain(field, "operator set", known=(2,))

    def _plain(self, field: _Field, where: str, *, known: tuple[int, ...]) -> None:
        if field.number not in known:
            raise ArtefactError(f"The model's {where} has field {field.number}, which is not served.")

    def _text(self, field: _Field) -> str:
        if field.wire != _BYTES:
            raise _broken(field.start)
        return self._data[field.start : field.end].decode("utf-8", errors="replace")

    def _inside(self, field: _Field) -> Iterator[_Field]:
        if field.wire != _BYTES:
            raise _broken(field.start)
        return self._fields(field.start, field.end)

    def _varints(self, field: _Field) -> Iterator[int]:
        """The numbers of a repeated field, which is packed or not."""
        if field.wire == _VARINT:
            yield field.value
            return
        if field.wire != _BYTES:
            raise _broken(field.start)
        position = field.start
        while position < field.end:
            value, position = self._varint(position, field.end)
            yield value

    def _fields(self, position: int, end: int) -> Iterator[_Field]:
        while position < end:
            field = self._field(position, end)
            position = field.end
            yield field

    def _field(self, position: int, end: int) -> _Field:
        key, start = self._varint(position, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, after = self._varint(start, end)
            return _Field(number, wire, start, after, value)
        if wire == _BYTES:
            size, start = self._varint(start, end)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if size < 0 or start + size > end or not number:
            raise _broken(position)
        return _Field(number, wire, start, start + size)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = self._data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise _broken(position)


def _check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise ArtefactError(f"The model uses operators of {domain[:100]!r}; only ONNX's own are served.")


def _broken(position: int) -> ArtefactError:
    return ArtefactError(f"The model is not an ONNX file: byte {position} is no part of one.")
