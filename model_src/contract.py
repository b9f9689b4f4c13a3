"""The contract of one model, as model.yaml states it: its data, its estimator, and what it must reach.

Training and evaluation read it first. `read_model` parses and checks it once; after that it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ColumnType = Literal["number", "integer", "category"]
Task = Literal["classification", "regression"]
Require = Literal["not_shown_worse", "shown_as_good", "shown_better", "nothing"]
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
class ChampionRule:
    """What a candidate must be beside the champion; `max_losses` by metric, in the metric's unit."""

    require: Require = "nothing"
    confidence: float = 0.95
    max_losses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Gates:
    """What a candidate must reach. `parity_tolerance` is relative above 1, absolute below.

    `classes` holds floors by class. `max_latency_ms` is for one row, `max_latency_ratio` beside the champion;
    these and `max_size_bytes` are None where the contract sets none.
    """

    metrics: tuple[Bound, ...]
    parity_tolerance: float
    classes: Mapping[str, tuple[Bound, ...]] = field(default_factory=dict)
    champion: ChampionRule = ChampionRule()
    max_latency_ms: float | None = None
    max_latency_ratio: float | None = None
    max_size_bytes: int | None = None


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
        gates=_gates(value["gates"], task=value["task"]),
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


def _gates(value: Mapping[str, Any], *, task: Task) -> Gates:
    bounds = [
        Bound(metric, kind, float(limits[kind]))
        for metric, limits in value["metrics"].items()
        for kind in ("min", "max")
        if kind in limits
    ]
    classes = {
        label: tuple(Bound(metric, "min", float(floor)) for metric, floor in floors.items())
        for label, floors in value.get("classes", {}).items()
    }
    latency = value.get("latency", {})
    return Gates(
        metrics=tuple(bounds),
        parity_tolerance=float(value["parity"]["tolerance"]),
        classes=classes,
        champion=_champion(value.get("champion", {}), task=task),
        max_latency_ms=latency.get("max_ms"),
        max_latency_ratio=latency.get("max_ratio"),
        max_size_bytes=value.get("max_size_bytes"),
    )


def _champion(value: Mapping[str, Any], *, task: Task) -> ChampionRule:
    """The rule; a contract that says nothing about the champion asks for a model not shown to be worse."""
    compared = value.get("metrics") or {"accuracy" if task == "classification" else "rmse": {}}
    return ChampionRule(
        require=value.get("require", "not_shown_worse"),
        confidence=float(value.get("confidence", 0.95)),
        max_losses={metric: float(limits.get("max_loss", 0.0)) for metric, limits in compared.items()},
    )


def _golden(value: Mapping[str, Any]) -> Golden:
    expect = value["expect"]
    return Golden(
        instance=dict(value["instance"]),
        label=expect.get("label"),
        value=expect.get("value"),
        tolerance=expect.get("tolerance", 0.0),
    )
