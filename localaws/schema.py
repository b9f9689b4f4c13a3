"""Requests and answers held against botocore's own model of a service."""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from localaws.errors import AwsError, ValidationError
from localaws.sdk import shared_session

Members = dict[str, Any]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


class Schema:
    """One service's operations: what their requests must look like and what their answers may contain."""

    def __init__(self, service: str):
        self._service = service

    @functools.cached_property
    def model(self) -> ServiceModel:
        """botocore's model, loaded at the first request."""
        return shared_session().get_service_model(self._service)

    def operation(self, name: str) -> OperationModel:
        """The model of an operation. Raises: AwsError when the service has none of that name."""
        if name not in self.model.operation_names:
            raise AwsError(
                "UnknownOperationException", f"{self._service} has no operation {name!r}.", status=404
            )
        return self.model.operation_model(name)

    def validate(self, name: str, params: Members) -> None:
        """Raises: ValidationError that lists every fault of the request."""
        shape = self.operation(name).input_shape
        faults = list(_faults(shape, params, path="")) if shape else []
        if faults:
            count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
            raise ValidationError(f"{count}: {'; '.join(faults)}")

    def answer(self, name: str, members: Members) -> Members:
        """The members that the operation's output knows, nested ones too, with times as epoch seconds."""
        shape = self.operation(name).output_shape
        return project(shape, members) if shape else {}


def project(shape: Shape, value: Any) -> Any:
    """`value` without what `shape` does not know."""
    # Copied before it is walked: a job's thread may add to it meanwhile.
    if isinstance(shape, StructureShape):
        known = shape.members
        return {k: project(known[k], v) for k, v in dict(value).items() if k in known and v is not None}
    if isinstance(shape, ListShape):
        return [project(shape.member, item) for item in list(value)]
    if isinstance(shape, MapShape):
        return {key: project(shape.value, item) for key, item in dict(value).items()}
    if isinstance(value, dt.datetime):
        return value.timestamp()
    return value


def _faults(shape: Shape, value: Any, *, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure_faults(shape, value, path=path)
    elif isinstance(shape, ListShape):
        yield from _list_faults(shape, value, path=path)
    elif isinstance(shape, MapShape):
        yield from _map_faults(shape, value, path=path)
    else:
        yield from _scalar_faults(shape, value, path=path)


def _structure_faults(shape: StructureShape, value: Any, *, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _wrong_type(value, path, "a structure")
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, item in value.items():
        if name not in shape.members:
            known = ", ".join(shape.members)
            yield f"Unknown parameter '{name}' at '{path or 'request'}', must be one of: {known}"
        elif item is not None:
            yield from _faults(shape.members[name], item, path=_join(path, name))


def _list_faults(shape: ListShape, value: Any, *, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _wrong_type(value, path, "a list")
        return
    yield from _length_faults(shape, value, path=path)
    for number, item in enumerate(value, start=1):
        yield from _faults(shape.member, item, path=f"{path}.{number}.member")


def _map_faults(shape: MapShape, value: Any, *, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _wrong_type(value, path, "a map")
        return
    yield from _length_faults(shape, value, path=path)
    for key, item in value.items():
        yield from _faults(shape.key, key, path=f"{path}.key")
        yield from _faults(shape.value, item, path=f"{path}.{key}.member")


def _scalar_faults(shape: Shape, value: Any, *, path: str) -> Iterator[str]:
    expected = _PYTHON_TYPES[shape.type_name]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        yield _wrong_type(value, path, f"of type {shape.type_name}")
    elif shape.type_name == "timestamp":
        if not _is_time(value):
            yield _wrong_type(value, path, "a time")
    elif isinstance(value, float) and not math.isfinite(value):
        yield _wrong_type(value, path, "a finite number")
    elif isinstance(value, str):
        yield from _string_faults(shape, value, path=path)
    elif isinstance(value, (int, float)):
        yield from _range_faults(shape, value, path=path)


def _is_time(value: Any) -> bool:
    """Whether a value is ISO 8601, or seconds that a calendar knows."""
    try:
        if isinstance(value, str):
            dt.datetime.fromisoformat(value)
        else:
            dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return True


def _string_faults(shape: Shape, value: str, *, path: str) -> Iterator[str]:
    choices = getattr(shape, "enum", [])
    if choices and value not in choices:
        yield _constraint(value, path, f"Member must satisfy enum value set: [{', '.join(choices)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compile(pattern).fullmatch(value):
        yield _constraint(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    yield from _length_faults(shape, value, path=path)


def _length_faults(shape: Shape, value: Any, *, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _constraint(value, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _constraint(value, path, f"Member must have length less than or equal to {most}")


def _range_faults(shape: Shape, value: float, *, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _constraint(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _constraint(value, path, f"Member must have value less than or equal to {most}")


def _constraint(value: Any, path: str, rule: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {rule}"


def _wrong_type(value: Any, path: str, expected: str) -> str:
    return f"Value '{value}' at '{path or 'request'}' is not {expected}"


def _join(path: str, name: str) -> str:
    member = name[:1].lower() + name[1:]
    return f"{path}.{member}" if path else member


# The patterns are Java's. Each class is translated to one that holds at least its characters.
_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{M}": "\u0300-\u036f",
    r"\p{Z}": " \u00a0\u2000-\u200a",
    r"\p{S}": r"!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u2bff",
    r"\p{P}": r"!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u2bff",
    r"\p{Alnum}": "A-Za-z0-9",
    r"\p{Print}": "[ -~]",
    r"\uD800\uDC00-\uDBFF\uDFFF": "\U00010000-\U0010ffff",
}


@functools.cache
def _compile(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    # Tag patterns end in a quantified anchor, which only Java accepts; min and max say the same.
    return re.compile(re.sub(r"\$\{\d+,\d+\}$", "", pattern))
