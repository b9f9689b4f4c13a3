"""How long a model takes for one row, measured so that two of them can be compared on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from model_src.encoding import Matrix
from model_src.predictor import Predictor

_WARM_UP: Final = 20
_ROUNDS: Final = 300
_LONGEST_S: Final = 10.0  # a model that takes seconds for a row is judged by fewer


def median_latencies_ms(
    predictors: Sequence[Predictor], rows: Sequence[Matrix], *, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """The median time of each predictor for its row (shape (1, n_features)), in milliseconds.

    They are asked in turn, so that what else the machine does slows all of them alike.
    """
    for predictor, row in zip(predictors, rows, strict=True):
        for _ in range(_WARM_UP):
            predictor.predict(row)
    taken: list[list[float]] = [[] for _ in predictors]
    begun = clock()
    while len(taken[0]) < _ROUNDS and (not taken[0] or clock() - begun < _LONGEST_S):
        for predictor, row, times in zip(predictors, rows, taken, strict=True):
            start = clock()
            predictor.predict(row)
            times.append(clock() - start)
    return [float(np.median(times)) * 1000 for times in taken]
