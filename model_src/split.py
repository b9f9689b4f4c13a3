"""Dividing a dataset into one to train on and a frozen one to judge by, once, when a model is begun."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from model_src.contract import Model
from model_src.dataset import Table


def split_table(table: Table, model: Model, *, share: float, seed: int) -> dict[str, list[int]]:
    """Row numbers of "train" and "holdout", in the table's order: no row is in both, not even as a copy.

    Copies of a row are dropped. A classification is split class by class.
    """
    columns = [table.cells[name] for name in table.cells]
    first_of = {row: index for index, row in reversed(list(enumerate(zip(*columns, strict=True))))}
    groups: dict[str, list[int]] = defaultdict(list)
    for index in sorted(first_of.values()):
        groups[table.cells[model.target.name][index] if model.task == "classification" else ""].append(index)
    random = np.random.default_rng(seed)
    held = {
        int(index)
        for _, rows in sorted(groups.items())
        for index in random.permutation(rows)[: round(share * len(rows))]
    }
    kept = sorted(first_of.values())
    return {
        "train": [index for index in kept if index not in held],
        "holdout": [index for index in kept if index in held],
    }


def write_rows(table: Table, rows: list[int], file: Path) -> None:
    """A CSV of some rows of the table."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table.cells)
        writer.writerows([cells[row] for cells in table.cells.values()] for row in rows)
