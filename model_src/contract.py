"""The contract of one model, as model.yaml states it: its data, its estimator, and what it must reach.

Training and evaluation read it first. `read_model` parses and checks it once; after that it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ColumnType = Literal["number", "integer", "category"]
Task = Literal["classification", "regression"]
Label = str | int
Scalar = str | int | float | bool | None
HyperparameterNames = Callable[[str, Task], Sequence[str]]

FILE_NAME = "model.yaml"


@dataclass(frozen=True)
class Column:
    """One column of the dataset, with the values it may hold."""

    name: str
    type: ColumnType
    unit: str | None
    min: float | None
    max: float | None
    allowed: tuple[Label, ...] | None
    missing: bool


@dataclass(frozen=True)
class Estimator:
    """What is fitted, by this project's name for it, with scikit-learn's names for its hyperparameters."""

    type: str
    hyperparameters: Mapping[str, Scalar]


@dataclass(frozen=True)
class Bound:
    """One metric's floor ("min") or ceiling ("max") on the holdout."""

    metric: str
    kind: Literal["min", "max"]
    value: float


@dataclass(frozen=True)
class Gates:
    """What a candidate must reach. `parity_tolerance` is relative above 1, absolute below."""

    metrics: tuple[Bound, ...]
    parity_tolerance: float


@dataclass(frozen=True)
class Golden:
    """One request with its known answer: a label, or a value (in the target's unit) with a tolerance."""

    instance: Mapping[str, str | int | float | None]
    label: Label | None
    value: float | None
    tolerance: float


@dataclass(frozen=True)
class Model:
    """A whole model.yaml, checked."""

    name: str
    task: Task
    target: Column
    features: tuple[Column, ...]
    estimator: Estimator
    min_rows: int
    gates: Gates
    golden: tuple[Golden, ...]

    @property
    def columns(self) -> dict[str, Column]:
        """Every column by name, the target last."""
        return {column.name: column for column in (*self.features, self.target)}


def read_model(folder: Path, *, names: HyperparameterNames | None = None) -> Model:
    """The model described in `folder`.

    With `names` the hyperparameters are checked too; only who has scikit-learn at hand can give it.

    Raises: ContractError with every broken rule.
    """
    # Imported here: the server reads no model.yaml and starts faster without the schema checker.
    from model_src.document import read_document
    from model_src.rules import check_document

    document = read_document(folder / FILE_NAME)
    check_document(document, names=names)
    return parse_model(document.value)


def parse_model(value: Mapping[str, Any]) -> Model:
    """The model in a plain value that keeps the schema and the rules."""
    columns = [_column(column) for column in value["columns"]]
    return Model(
        name=value["name"],
        task=value["task"],
        target=next(column for column in columns if column.name == value["target"]),
        features=tuple(column for column in columns if column.name != value["target"]),
        estimator=Estimator(value["estimator"]["type"], dict(value["estimator"].get("hyperparameters", {}))),
        min_rows=value["min_rows"],
        gates=_gates(value["gates"]),
        golden=tuple(_golden(golden) for golden in value["golden"]),
    )


def _column(value: Mapping[str, Any]) -> Column:
    allowed = value.get("allowed")
    return Column(
        name=value["name"],
        type=value["type"],
        unit=value.get("unit"),
        min=value.get("min"),
        max=value.get("max"),
        allowed=None if allowed is None else tuple(allowed),
        missing=value.get("missing", False),
    )


def _gates(value: Mapping[str, Any]) -> Gates:
    bounds = [
        Bound(metric, kind, float(limits[kind]))
        for metric, limits in value["metrics"].items()
        for kind in ("min", "max")
        if kind in limits
    ]
    return Gates(tuple(bounds), float(value["parity"]["tolerance"]))


def _golden(value: Mapping[str, Any]) -> Golden:
    expect = value["expect"]
    return Golden(
        instance=dict(value["instance"]),
        label=expect.get("label"),
        value=expect.get("value"),
        tolerance=expect.get("tolerance", 0.0),
    )
