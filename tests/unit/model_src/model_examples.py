"""A small contract and its data, and the models that come with the product."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_src.contract import FILE_NAME, Model, Task, read_model
from model_src.dataset import Dataset, encode_training, read_table

SHIPPED = sorted(
    file.parent for file in (Path(__file__).parents[3] / "model_src" / "models").glob(f"*/{FILE_NAME}")
)

CONTRACT = """\
name: flat
task: regression
target: rent
columns:
  - {name: area, type: number, unit: m2, min: 1, max: 500}
  - {name: rooms, type: integer, missing: true}
  - {name: heating, type: category, allowed: [gas, oil], missing: true}
  - {name: district, type: category}
  - {name: rent, type: number, min: 0}
estimator:
  type: ridge
  hyperparameters: {alpha: 0.1}
min_rows: 4
gates:
  metrics: {rmse: {max: 500}}
  parity: {tolerance: 1e-3}
golden:
  - instance: {area: 50, rooms: 2, heating: gas, district: north}
    expect: {value: 500, tolerance: 300}
"""

DATA = """\
area,rooms,heating,district,rent
50,2,gas,north,500
80.5,3,oil,south,750
35,,gas,south,400
60,2,,north,620
"""

AS_CLASSIFICATION = (
    ("task: regression", "task: classification"),
    ("{name: rent, type: number, min: 0}", "{name: rent, type: category}"),
    ("type: ridge\n  hyperparameters: {alpha: 0.1}", "type: logistic_regression"),
    ("rmse: {max: 500}", "accuracy: {min: 0.5}"),
    ("{value: 500, tolerance: 300}", "{label: low}"),
)


def write_contract(folder: Path, text: str = CONTRACT) -> Path:
    """A model's folder with this model.yaml; its name is the contract's."""
    folder = folder / "flat"
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(text)
    return folder


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with each first string replaced by its second; each must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def read_example(folder: Path, *changes: tuple[str, str]) -> Model:
    return read_model(write_contract(folder, changed(CONTRACT, *changes)))


def encode(folder: Path, model: Model, *texts: str) -> Dataset:
    """The dataset in CSV texts, each as a file of its own."""
    files = [folder / f"part-{index}.csv" for index in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_bytes(text.encode())
    return encode_training(read_table(files, columns=list(model.columns)), model)


def random_data(task: Task, n_rows: int = 120, seed: int = 0) -> str:
    """Rows of the example's contract, with gaps; the target depends on every column."""
    random = np.random.default_rng(seed)
    rows = ["area,rooms,heating,district,rent"]
    for _ in range(n_rows):
        area, rooms = round(random.uniform(20, 200), 2), int(random.integers(1, 6))
        heating, district = random.choice(["gas", "oil", ""]), random.choice(["north", "south", "west"])
        rent = 5 * area + 30 * rooms + (90 if heating == "gas" else 0) + 50 * (district == "north")
        target = (
            f"{rent:.1f}"
            if task == "regression"
            else ("low" if rent < 500 else "mid" if rent < 800 else "high")
        )
        gap = random.random() < 0.1
        rows.append(f"{area},{'' if gap else rooms},{heating},{district},{target}")
    return "\n".join(rows) + "\n"
