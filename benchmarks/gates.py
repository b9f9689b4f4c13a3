"""How many bad candidates the gates block, and how many good ones they block by mistake.

    python benchmarks/gates.py [--seeds 20] [--first-seed 0] [--folders iris diabetes penguins]

Each model that comes with the product, with its own model.yaml. For each seed: the sample data is drawn anew
into a training and a holdout part, a champion is trained, and then one candidate of each kind, good and bad.
Every candidate passes what the pipeline asks of a real one, by the same functions: the data contract
(pipeline.dataset), training, and the evaluation job's gates (model_src.evaluation). In process, no network.

`beyond` says whether a kind is beyond the model's detection limit (detection_limits.json); those are to be
blocked in every case, good ones in 5 % at most. The limits were set by the seeds from 1000 on, so that the
default ones hold them against draws they were not made from; null says that no share of wrong labels measured
here is found every time. Writes build/bench/gates.json and gates.png.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import onnx
import yaml
from deployment import RESULTS, ROOT, write_result
from onnx import TensorProto, helper, numpy_helper

from model_src.artefact import Artefact
from model_src.contract import Model, read_model
from model_src.dataset import Table, encode_training, read_table
from model_src.errors import ModelError
from model_src.evaluation import Incumbent, evaluate
from model_src.training import fit_artefact
from pipeline.dataset import Contract, Reference, Report, check_dataset, parse_contract, read_holdout

matplotlib.use("Agg")

from matplotlib import pyplot

MODELS = ROOT / "model_src" / "models"
HELD = 0.25
TRAINED = 0.9  # of what is not held: champion and candidate see different parts of the same data
NOISE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4)

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Data:
    """One model's data, divided for one seed."""

    model: Model
    contract: Contract
    champion: Rows
    fresh: Rows
    holdout: Rows
    random: np.random.Generator

    @property
    def target(self) -> str:
        return self.model.target.name


@dataclass(frozen=True)
class Kind:
    """A kind of candidate: what is done to its training data, or to the model that came of it."""

    name: str
    good: bool
    spoil: Callable[[Data], Rows]
    break_model: Callable[[Artefact, Data], Artefact] | None = None


def as_they_are(data: Data) -> Rows:
    return data.fresh


def more_of_the_same(data: Data) -> Rows:
    """What a team uploads next month: most of the old rows, and some that are new."""
    old = [data.champion[i] for i in data.random.choice(len(data.champion), len(data.champion), replace=True)]
    return old[: len(old) // 2] + data.fresh


def noisy_labels(share: float) -> Callable[[Data], Rows]:
    """So many labels exchanged for another; a regression's for another row's."""

    def spoil(data: Data) -> Rows:
        rows = [dict(row) for row in data.fresh]
        chosen = data.random.choice(len(rows), round(share * len(rows)), replace=False)
        labels = sorted({row[data.target] for row in rows})
        for index in chosen:
            others = [label for label in labels if label != rows[index][data.target]]
            rows[index][data.target] = str(data.random.choice(others))
        return rows

    return spoil


def swapped_columns(data: Data) -> Rows:
    """The two features that stand first among those of one type, exchanged in every row."""
    numbers = [column.name for column in data.model.features if column.type != "category"]
    one, other = numbers[:2]
    return [{**row, one: row[other], other: row[one]} for row in data.fresh]


def leaked_label(data: Data) -> Rows:
    """A feature that holds the target: its number, or the place of its class."""
    feature = next(
        column for column in data.model.features if column.type != "category" and not column.allowed
    )
    labels = sorted({row[data.target] for row in data.fresh})
    if data.model.task == "classification":
        low = feature.min or 0
        told = {label: str(round(low + 1 + place)) for place, label in enumerate(labels)}
    else:
        values = sorted(float(label) for label in labels)
        width = ((feature.max or 1) - (feature.min or 0)) / (values[-1] - values[0])
        base = feature.min or 0
        told = {label: _as_typed(base + (float(label) - values[0]) * width, feature.type) for label in labels}
    return [{**row, feature.name: told[row[data.target]]} for row in data.fresh]


def stale_data(data: Data) -> Rows:
    """Yesterday's world: half of the numbers are lower by their own deviation times two."""
    numbers = [column for column in data.model.features if column.type != "category" and not column.allowed]
    rows = [dict(row) for row in data.fresh]
    for column in numbers[: max(1, len(numbers) // 2)]:
        known = [float(row[column.name]) for row in rows if row[column.name]]
        shift = 2 * float(np.std(known))
        for row in rows:
            if row[column.name]:
                moved = float(row[column.name]) - shift
                kept = max(moved, -np.inf if column.min is None else column.min)
                row[column.name] = _as_typed(kept, column.type)
    return rows


def constant(artefact: Artefact, data: Data) -> Artefact:
    """Answers every row with what is most frequent, or the mean; its card's probe says so, too."""
    targets = [row[data.target] for row in data.fresh]
    width = len(artefact.card.classes)
    if width:
        counts = np.array([targets.count(str(label)) for label in artefact.card.classes])
        answer = np.eye(width, dtype=np.float32)[counts.argmax()]
        name, shape = "probabilities", [None, width]
    else:
        answer = np.array([np.mean([float(target) for target in targets])], dtype=np.float32)
        name, shape = "value", [None, 1]
    features = len(artefact.card.features)
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["features", "zeros"], ["none"]),
            helper.make_node("ReduceSum", ["none", "axis"], ["nothing"], keepdims=1),
            helper.make_node("IsNaN", ["nothing"], ["gap"]),
            helper.make_node("Where", ["gap", "zero", "nothing"], ["still"]),
            helper.make_node("Add", ["still", "answer"], [name]),
        ],
        "constant",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.zeros(features, dtype=np.float32), "zeros"),
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"),
            numpy_helper.from_array(answer, "answer"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    probe = artefact.card.origin["probe"]
    told = answer.tolist() if width else float(answer[0])
    card = replace(
        artefact.card,
        origin={**artefact.card.origin, "probe": {**probe, "answers": [told] * len(probe["rows"])}},
    )
    return Artefact(card, made.SerializeToString())


def broken_export(artefact: Artefact, data: Data) -> Artefact:  # noqa: ARG001
    """One tenth more in every coefficient, leaf or scale; the card still holds the trainer's word."""
    model = onnx.load_from_string(artefact.onnx)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("coefficients", "nodes_values", "target_weights", "class_weights"):
                attribute.floats[:] = [value * 1.1 for value in attribute.floats]
    for initializer in model.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if values.dtype == np.float32 and values.size > 1:
            initializer.CopyFrom(numpy_helper.from_array(values * np.float32(1.1), initializer.name))
    return Artefact(artefact.card, model.SerializeToString())


def slow(artefact: Artefact, data: Data) -> Artefact:
    """The same answers through so many more steps that a row takes ten times as long, or more."""
    steps = 64
    while True:
        made = _lengthen(artefact, steps)
        if _latency_ratio(made, artefact, len(data.model.features)) >= 10:
            return made
        steps *= 2


def _lengthen(artefact: Artefact, steps: int) -> Artefact:
    model = onnx.load_from_string(artefact.onnx)
    output = next(value.name for value in model.graph.output if value.name != "label")
    for node in model.graph.node:
        node.output[:] = [f"{name}_0" if name == output else name for name in node.output]
        node.input[:] = [f"{name}_0" if name == output else name for name in node.input]
    for step in range(steps):
        after = output if step == steps - 1 else f"{output}_{step + 1}"
        # Bounds that no answer reaches, another pair at each step.
        low = helper.make_tensor(f"low_{step}", TensorProto.FLOAT, [], [-1e30 - step * 1e25])
        high = helper.make_tensor(f"high_{step}", TensorProto.FLOAT, [], [1e30 + step * 1e25])
        model.graph.initializer.extend([low, high])
        node = helper.make_node("Clip", [f"{output}_{step}", f"low_{step}", f"high_{step}"], [after])
        model.graph.node.append(node)
    return Artefact(artefact.card, model.SerializeToString())


def _latency_ratio(slow_one: Artefact, usual: Artefact, features: int) -> float:
    from model_src.latency import median_latencies_ms
    from model_src.predictor import load_predictor

    row = np.zeros((1, features), dtype=np.float32)
    times = median_latencies_ms([load_predictor(slow_one), load_predictor(usual)], [row, row])
    return times[0] / times[1]


KINDS = [
    Kind("good: other rows of the same data", good=True, spoil=as_they_are),
    Kind("good: old rows and new ones", good=True, spoil=more_of_the_same),
    *(Kind(f"label noise {share:.0%}", good=False, spoil=noisy_labels(share)) for share in NOISE),
    Kind("swapped columns", good=False, spoil=swapped_columns),
    Kind("leaked label", good=False, spoil=leaked_label),
    Kind("stale data", good=False, spoil=stale_data),
    Kind("constant predictor", good=False, spoil=as_they_are, break_model=constant),
    Kind("broken export", good=False, spoil=as_they_are, break_model=broken_export),
    Kind("ten times slower", good=False, spoil=as_they_are, break_model=slow),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--folders", nargs="+", default=["iris", "diabetes", "penguins"])
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    results = {name: measure_model(MODELS / name, seeds=seeds) for name in options.folders}
    RESULTS.mkdir(parents=True, exist_ok=True)
    draw(results, RESULTS / "gates.png")
    result = {"seeds": [seeds[0], seeds[-1]], "summary": summarise(results), "models": results}
    write_result("gates", result)
    print(table(results))


def measure_model(folder: Path, *, seeds: range) -> dict[str, Any]:
    """By kind: the share that is blocked, and which gate blocked how many."""
    counts: dict[str, list[str | None]] = defaultdict(list)
    beyond = set(detection_limit(folder))
    started = time.monotonic()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            for kind, reason in measure_seed(folder, Path(place), seed=seed).items():
                counts[kind].append(reason)
    print(f"{folder.name}: {len(seeds)} seeds in {time.monotonic() - started:.0f} s", flush=True)
    return {
        kind.name: {
            "good": kind.good,
            "beyond": kind.name in beyond,
            "candidates": len(counts[kind.name]),
            "blocked": sum(reason is not None for reason in counts[kind.name]),
            "by": tally(reason for reason in counts[kind.name] if reason),
        }
        for kind in KINDS
    }


def detection_limit(folder: Path) -> list[str]:
    """The kinds beyond the limit that the documentation states for this model."""
    stated = json.loads(Path(__file__).with_name("detection_limits.json").read_text())[folder.name]
    limit = 1.0 if stated["label_noise"] is None else stated["label_noise"]
    noise = [f"label noise {share:.0%}" for share in NOISE if share >= limit]
    return [*noise, *stated["kinds"]]


def measure_seed(folder: Path, place: Path, *, seed: int) -> dict[str, str | None]:
    """What blocked each kind of candidate; None where it passed."""
    data = divide(folder, seed=seed)
    holdout = write_csv(place / "holdout.csv", data.holdout, data)
    champion, before = fit(data.champion, data, place)
    incumbent = Incumbent(champion, "champion", hashlib.sha256(champion.onnx).hexdigest())
    held = read_holdout([holdout.read_bytes()], contract=data.contract)
    reference = Reference(held, before.profile)
    outcomes: dict[str, str | None] = {}
    for number, kind in enumerate(KINDS):
        own = replace(data, random=np.random.default_rng([seed, number]))
        outcomes[kind.name] = judge(kind, own, place, holdout, incumbent, reference)
    return outcomes


def judge(
    kind: Kind, data: Data, place: Path, holdout: Path, incumbent: Incumbent, reference: Reference
) -> str | None:
    """What blocks the candidate first: the data contract, the training, or the gates it misses."""
    rows = kind.spoil(data)
    report = check(rows, data, place, reference)
    if not report.accepted:
        return f"data: {_subject(report)}"
    try:
        artefact = fit_artefact(data.model, encode(rows, data, place), commit="")[0]
        if kind.break_model:
            artefact = kind.break_model(artefact, data)
        evaluation = evaluate(data.model, artefact, holdout=holdout, champion=incumbent)
    except ModelError as error:
        return f"refused: {type(error).__name__}"
    missed = [gate["name"] for gate in evaluation.report["gates"] if not gate["passed"]]
    return ", ".join(missed) or None


def _subject(report: Report) -> str:
    message = report.problems[0].message
    known = {"drifted": "drift", "tells the target": "leakage", "frozen holdout": "holdout"}
    return next((word for part, word in known.items() if part in message), "columns")


def divide(folder: Path, *, seed: int) -> Data:
    """All rows of the folder, drawn anew: a holdout, and two overlapping parts of the rest."""
    model = read_model(folder)
    document = yaml.safe_load((folder / "model.yaml").read_text())
    table_ = read_table([folder / "train.csv", folder / "holdout.csv"], columns=list(model.columns))
    rows = to_rows(table_)
    random = np.random.default_rng(seed)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row[model.target.name] if model.task == "classification" else ""].append(index)
    held = {
        int(i) for _, members in sorted(groups.items())
        for i in random.permutation(members)[: round(HELD * len(members))]
    }  # fmt: skip
    rest = [rows[i] for i in range(len(rows)) if i not in held]
    parts = [[rest[i] for i in random.permutation(len(rest))[: round(TRAINED * len(rest))]] for _ in range(2)]
    # PyYAML reads 1e-4 as text; the pipeline's own document comes by Terraform, which does not.
    document["gates"]["parity"]["tolerance"] = model.gates.parity_tolerance
    contract = parse_contract({**document, "min_rows": 10})
    relaxed = replace(model, min_rows=10)
    return Data(relaxed, contract, parts[0], parts[1], [rows[i] for i in sorted(held)], random)


def to_rows(table_: Table) -> Rows:
    names = list(table_.cells)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*table_.cells.values(), strict=True)]


def write_csv(file: Path, rows: Rows, data: Data) -> Path:
    names = list(data.model.columns)
    file.write_text("\n".join([",".join(names), *(",".join(row[n] for n in names) for row in rows)]) + "\n")
    return file


def encode(rows: Rows, data: Data, place: Path) -> Any:
    file = write_csv(place / "train.csv", rows, data)
    return encode_training(read_table([file], columns=list(data.model.columns)), data.model)


def check(rows: Rows, data: Data, place: Path, reference: Reference | None) -> Report:
    content = write_csv(place / "upload.csv", rows, data).read_bytes()
    return check_dataset([content], contract=data.contract, reference=reference)


def fit(rows: Rows, data: Data, place: Path) -> tuple[Artefact, Report]:
    return fit_artefact(data.model, encode(rows, data, place), commit="")[0], check(rows, data, place, None)


def tally(reasons: Any) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for reason in reasons:
        counts[reason] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def summarise(results: Mapping[str, Any]) -> dict[str, Any]:
    """The two numbers that are promised."""
    every = [one for result in results.values() for one in result.values()]

    def share(chosen: Sequence[Mapping[str, Any]]) -> float:
        return float(sum(one["blocked"] for one in chosen) / max(1, sum(one["candidates"] for one in chosen)))

    return {
        "blocked_beyond_the_limit": share([one for one in every if one["beyond"]]),
        "good_ones_blocked": share([one for one in every if one["good"]]),
        "good_ones_blocked_by_model": {
            name: share([one for one in result.values() if one["good"]]) for name, result in results.items()
        },
    }


def table(results: Mapping[str, Any]) -> str:
    lines = ["| candidate | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for kind in KINDS:
        cells = []
        for result in results.values():
            one = result[kind.name]
            cells.append(f"{one['blocked'] / one['candidates']:.0%}{' *' if one['beyond'] else ''}")
        lines.append(f"| {kind.name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "* beyond the stated detection limit"])


def draw(results: Mapping[str, Any], path: Path) -> None:
    """The share of blocked candidates over the share of wrong labels, and of the other kinds."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for name, result in results.items():
        shares = [result[f"label noise {share:.0%}"] for share in NOISE]
        left.plot([100 * share for share in NOISE], [_percent(one) for one in shares], marker="o", label=name)
    left.set(xlabel="wrong labels, %", ylabel="candidates blocked, %", ylim=(-3, 103), title="Label noise")
    left.legend()
    others = [kind.name for kind in KINDS if not kind.name.startswith("label noise")]
    height = 0.8 / len(results)
    for number, (name, result) in enumerate(results.items()):
        places = [index + number * height for index in range(len(others))]
        right.barh(places, [_percent(result[kind]) for kind in others], height, label=name)
    right.set_yticks([index + 0.4 - height / 2 for index in range(len(others))], others)
    right.set(xlabel="candidates blocked, %", xlim=(0, 103), title="Other candidates")
    right.invert_yaxis()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _percent(one: Mapping[str, Any]) -> float:
    return 100 * float(one["blocked"]) / float(one["candidates"])


def _as_typed(value: float, kind: str) -> str:
    return str(round(value)) if kind == "integer" else f"{value:.6g}"


if __name__ == "__main__":
    main()
