"""What a dataset looks like, column by column, from a bounded sample: to see drift and leaked labels by.

Flow: dataset upload, second step (validate). Standard library only, as every Lambda. The sample is drawn
while the file streams by (reservoir sampling: Vitter, Random Sampling with a Reservoir, 1985), with a fixed
seed, so that the same file gives the same profile; memory does not grow with the file.

Drift is the population stability index, PSI: sum of (new - old) ln(new / old) over a column's bins. Above
0.25 is a major shift by convention (Siddiqi, Credit Risk Scorecards, 2006). Between samples of n and m rows
of one population it is about (1/n + 1/m) times chi-squared (Yurdakul, Statistical Properties of Population
Stability Index, 2018), so that small samples are allowed what chance does to them.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, StatisticsError, correlation
from typing import Any

SAMPLE_ROWS = 5_000
BINS = 10
ROWS_PER_BIN = 20
MAX_CHARACTERS = 80  # of a category's value
MAX_VALUES = 20  # of a category that are told apart; the others are one bin
# One refusal by chance in a thousand datasets, if there were no drift.
CHANCE = 0.001


# A number, or a category's value; empty text is a missing value.
Cell = float | str
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Drift:
    """How far one column is from the champion's training data, and how far it may be."""

    column: str
    psi: float
    limit: float

    @property
    def exceeded(self) -> bool:
        """True for a shift that neither the contract nor chance explains."""
        return not self.psi <= self.limit


class Sample:
    """Rows drawn evenly from all that were added, at most `SAMPLE_ROWS`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._seen = 0
        self._random = random.Random(0)  # noqa: S311 - a statistic, no secret

    def add(self, row: Row) -> None:
        """Keep the row, or not."""
        self._seen += 1
        if len(self.rows) < SAMPLE_ROWS:
            self.rows.append(_shortened(row))
        elif (place := int(self._random.random() * self._seen)) < SAMPLE_ROWS:
            self.rows[place] = _shortened(row)


def describe(rows: Sequence[Row], *, names: Sequence[str], numeric: Mapping[str, bool]) -> dict[str, Any]:
    """The profile of a sample, as JSON: of each column the bins and the share of rows in each."""
    columns = {}
    for index, name in enumerate(names):
        cells = [row[index] for row in rows]
        bins = _number_bins(cells) if numeric[name] else _category_bins(cells)
        columns[name] = {**bins, "shares": _shares(cells, bins)}
    return {"rows": len(rows), "columns": columns}


def measure_drift(
    profile: Mapping[str, Any], rows: Sequence[Row], *, names: Sequence[str], max_psi: float
) -> Iterator[Drift]:
    """The drift of each column that both have, by the profile's bins."""
    old_rows, new_rows = profile["rows"], len(rows)
    known = [name for name in names if name in profile["columns"]]
    for name in known:
        column, index = profile["columns"][name], names.index(name)
        new = _shares([row[index] for row in rows], column)
        by_chance = _chi_squared(1 - CHANCE / len(known), degrees=max(len(new) - 1, 1))
        limit = max(max_psi, by_chance * (1 / old_rows + 1 / new_rows))
        yield Drift(name, _psi(column["shares"], new, rows=min(old_rows, new_rows)), limit)


def association(feature: Sequence[Cell], target: Sequence[Cell], *, numeric: bool, classes: bool) -> float:
    """How much one column tells of the target, from 0 to 1; 0 where it cannot be told.

    For classes Cramer's V without its bias (Bergsma, 2013), for a column of few values; for numbers the size
    of Spearman's rank correlation. Rows in which the column is empty do not count.
    """
    pairs = [(cell, label) for cell, label in zip(feature, target, strict=True) if cell != ""]
    if len(pairs) < ROWS_PER_BIN:
        return 0.0
    if classes:
        return _cramers_v(pairs) if len({cell for cell, _ in pairs}) <= MAX_VALUES else 0.0
    if not numeric:
        return 0.0
    try:
        return abs(correlation(_ranks([float(x) for x, _ in pairs]), _ranks([float(y) for _, y in pairs])))
    except StatisticsError:  # one of them is constant
        return 0.0


def _shortened(row: Row) -> Row:
    return tuple(cell[:MAX_CHARACTERS] if isinstance(cell, str) else cell for cell in row)


def _number_bins(cells: Sequence[Cell]) -> dict[str, Any]:
    """Quantiles of the values as inner edges, no more of them than the sample carries."""
    numbers = sorted(float(cell) for cell in cells if cell != "")
    count = max(2, min(BINS, len(numbers) // ROWS_PER_BIN))
    edges = {numbers[len(numbers) * i // count] for i in range(1, count)} if numbers else set()
    return {"edges": sorted(edges)}


def _category_bins(cells: Sequence[Cell]) -> dict[str, Any]:
    return {"values": [value for value, _ in Counter(cells).most_common(MAX_VALUES) if value != ""]}


def _shares(cells: Sequence[Cell], bins: Mapping[str, Any]) -> list[float]:
    """The share of rows in each bin; then that of other values, where some are listed; then of empty ones."""
    if "edges" in bins:
        edges = bins["edges"]
        counts = [0] * (len(edges) + 2)
        for cell in cells:
            counts[bisect_right(edges, cell) if cell != "" else -1] += 1
    else:
        places = {value: place for place, value in enumerate(bins["values"])}
        counts = [0] * (len(places) + 2)
        for cell in cells:
            counts[places.get(cell, len(places)) if cell != "" else -1] += 1
    return [count / len(cells) for count in counts]


def _psi(old: Sequence[float], new: Sequence[float], *, rows: int) -> float:
    least = 0.5 / rows  # an empty bin is one that half a row would be in
    pairs = [(max(a, least), max(b, least)) for a, b in zip(old, new, strict=True) if a or b]
    return sum((b - a) * math.log(b / a) for a, b in pairs)


def _chi_squared(probability: float, *, degrees: int) -> float:
    """The quantile, within a per cent (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + NormalDist().inv_cdf(probability) * math.sqrt(spread)) ** 3)


def _cramers_v(pairs: Sequence[tuple[Cell, Cell]]) -> float:
    rows, columns, cells = Counter(a for a, _ in pairs), Counter(b for _, b in pairs), Counter(pairs)
    n, r, k = len(pairs), len(rows), len(columns)
    if r < 2 or k < 2:
        return 0.0
    squared = sum(cells[a, b] ** 2 / (rows[a] * columns[b]) for a, b in cells) - 1  # chi-squared / n
    unbiased = max(0.0, squared - (k - 1) * (r - 1) / (n - 1))
    width = min(k - (k - 1) ** 2 / (n - 1), r - (r - 1) ** 2 / (n - 1)) - 1
    return math.sqrt(unbiased / width) if width > 0 else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for place in order[start:end]:
                ranks[place] = (start + end - 1) / 2
            start = end
    return ranks
