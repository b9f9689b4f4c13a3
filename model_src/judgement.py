"""The gates: what a candidate was measured to be, held against what model.yaml asks of it.

Evaluation asks it of each candidate, and benchmarks/gates.py of candidates that are bad on purpose. The
pipeline's judge asks the same of the numbers in evaluation.json again, by the environment's own contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from model_src.comparison import Comparison, shortfall
from model_src.contract import Bound, ChampionRule, Gates


@dataclass(frozen=True)
class Gate:
    """One thing a candidate had to reach. `bound` is the floor or the ceiling, in the value's unit."""

    name: str
    value: float
    bound: float
    passed: bool
    message: str


@dataclass(frozen=True)
class Champion:
    """How the champion did beside the candidate; `incomparable` says why it could not be asked the same."""

    comparisons: Sequence[Comparison] = ()
    latency_ms: float | None = None
    incomparable: str | None = None


@dataclass(frozen=True)
class Measurements:
    """What was measured of one candidate.

    `classes` are recall and precision by class; `golden` holds what is wrong with each golden answer, if
    anything; `latency_ms` is the median time for one row.
    """

    metrics: Mapping[str, float]
    parity: float
    golden: Sequence[str | None]
    latency_ms: float
    size_bytes: int
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    champion: Champion | None = None


def judge(gates: Gates, measured: Measurements) -> list[Gate]:
    """Every gate with its outcome."""
    return [
        *(_bound_gate(bound, bound.metric, measured.metrics[bound.metric]) for bound in gates.metrics),
        *_class_gates(gates, measured.classes),
        *_champion_gates(gates.champion, measured.champion),
        _parity_gate(gates, measured.parity),
        *_latency_gates(gates, measured),
        *_size_gates(gates, measured.size_bytes),
        _golden_gate(measured.golden),
    ]


def _bound_gate(bound: Bound, name: str, value: float) -> Gate:
    passed = value >= bound.value if bound.kind == "min" else value <= bound.value
    word = "floor" if bound.kind == "min" else "ceiling"
    verb = "keeps" if passed else "breaks"
    return Gate(name, value, bound.value, passed, f"{name} {value:.4g} {verb} the {word} {bound.value:g}")


def _class_gates(gates: Gates, classes: Mapping[str, Mapping[str, float]]) -> Iterator[Gate]:
    for label, bounds in gates.classes.items():
        for bound in bounds:
            name = f"{label}/{bound.metric}"
            if label in classes:
                yield _bound_gate(bound, name, classes[label][bound.metric])
            else:
                message = f"the candidate knows no class {label}; it knows {', '.join(classes)}"
                yield Gate(name, 0.0, bound.value, passed=False, message=message)


def _champion_gates(rule: ChampionRule, champion: Champion | None) -> Iterator[Gate]:
    if champion is None or rule.require == "nothing":
        return
    if champion.incomparable:
        message = (
            f"the champion cannot answer the same holdout: {champion.incomparable}; to replace it by a model "
            "of another contract, set gates.champion.require to nothing for that one release"
        )
        yield Gate("champion", 0.0, 0.0, passed=False, message=message)
    for comparison in champion.comparisons:
        short = shortfall(rule, comparison)
        message = short or (
            f"{comparison.metric} {comparison.candidate:.4g} stands beside the champion's "
            f"{comparison.champion:.4g} (gain {comparison.gain:+.4g})"
        )
        bound = -rule.max_losses[comparison.metric]
        yield Gate(f"champion/{comparison.metric}", comparison.gain, bound, not short, message)


def _parity_gate(gates: Gates, parity: float) -> Gate:
    tolerance = gates.parity_tolerance
    message = f"ONNX Runtime is {parity:.3g} off scikit-learn; {tolerance:g} is allowed"
    return Gate("parity", parity, tolerance, parity <= tolerance, message)


def _latency_gates(gates: Gates, measured: Measurements) -> Iterator[Gate]:
    if gates.max_latency_ms is not None:
        yield _bound_gate(Bound("latency_ms", "max", gates.max_latency_ms), "latency_ms", measured.latency_ms)
    beside = measured.champion.latency_ms if measured.champion else None
    if gates.max_latency_ratio is not None and beside:
        ratio = measured.latency_ms / beside
        yield _bound_gate(Bound("latency_ratio", "max", gates.max_latency_ratio), "latency_ratio", ratio)


def _size_gates(gates: Gates, size_bytes: int) -> Iterator[Gate]:
    if gates.max_size_bytes is not None:
        most = gates.max_size_bytes
        verb = "keeps" if size_bytes <= most else "breaks"
        message = f"model.onnx has {size_bytes} bytes, which {verb} the ceiling {most}"
        yield Gate("size_bytes", float(size_bytes), float(most), size_bytes <= most, message)


def _golden_gate(golden: Sequence[str | None]) -> Gate:
    wrong = [problem for problem in golden if problem]
    message = "; ".join(wrong) or f"all {len(golden)} golden requests are answered as expected"
    return Gate("golden", float(len(wrong)), 0.0, not wrong, message)
