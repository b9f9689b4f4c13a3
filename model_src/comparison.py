"""Candidate and champion on the same rows: how much better or worse, and how sure that is.

Both answer the same frozen holdout, so each resample draws the same rows for both: a paired bootstrap.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; for two models on one test
set: Koehn, Statistical Significance Tests for Machine Translation Evaluation (EMNLP 2004).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model_src import metrics
from model_src.contract import ChampionRule
from model_src.metrics import Floats, Ints

_RESAMPLES: Final = 1_000
_FEWEST_RESAMPLES: Final = 200
_ROWS_DRAWN: Final = 20_000_000  # in all resamples together; a large holdout needs fewer


@dataclass(frozen=True)
class Comparison:
    """How much better the candidate is by one metric; in the metric's unit, negative where it is worse.

    The gain is above `low` with the rule's confidence, and below `high` with the same.
    """

    metric: str
    candidate: float
    champion: float
    gain: float
    low: float
    high: float


def compare(
    actual: Floats,
    candidate: Floats,
    champion: Floats,
    *,
    names: Sequence[str],
    confidence: float,
    seed: int = 0,
) -> list[Comparison]:
    """A comparison for each of the metrics `names`.

    `actual` is as in a Dataset; the answers have shape (n_rows, n_classes), or (n_rows,) for a regression.
    """
    random = np.random.default_rng(seed)
    n_rows = len(actual)
    n_resamples = int(np.clip(_ROWS_DRAWN // n_rows, _FEWEST_RESAMPLES, _RESAMPLES))
    resampled: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(n_resamples):
        rows = random.integers(0, n_rows, size=n_rows)
        measured = measure(actual[rows], candidate[rows]), measure(actual[rows], champion[rows])
        for name in names:
            resampled[name].append(_gain(name, *measured))
    whole = measure(actual, candidate), measure(actual, champion)
    return [
        Comparison(
            metric=name,
            candidate=whole[0][name],
            champion=whole[1][name],
            gain=_gain(name, *whole),
            low=float(np.quantile(resampled[name], 1 - confidence)),
            high=float(np.quantile(resampled[name], confidence)),
        )
        for name in names
    ]


def measure(actual: Floats | Ints, answers: Floats) -> dict[str, float]:
    """Every metric of these answers: a classification's where they are probabilities, else a regression's."""
    if answers.ndim == 2:
        return metrics.classification_metrics(actual.astype(np.int64), answers)
    return metrics.regression_metrics(actual.astype(np.float64), answers)


def shortfall(rule: ChampionRule, comparison: Comparison) -> str | None:
    """What the candidate falls short of by this rule, in words; None where it does not."""
    max_loss = rule.max_losses[comparison.metric]
    name, sure = comparison.metric, f"with {rule.confidence:.0%} confidence"
    told = (
        f"{name} {comparison.candidate:.4g} beside the champion's {comparison.champion:.4g} "
        f"(gain {comparison.gain:+.4g}, between {comparison.low:+.4g} and {comparison.high:+.4g} {sure})"
    )
    # Written so that not-a-number falls short: it is neither above nor below anything.
    if rule.require == "not_shown_worse" and not comparison.high >= -max_loss:
        return f"{told} is shown to be worse by more than {max_loss:g}"
    if rule.require == "shown_as_good" and not comparison.low >= -max_loss:
        return f"{told} is not shown to be worse by at most {max_loss:g}"
    if rule.require == "shown_better" and not comparison.low > 0:
        return f"{told} is not shown to be better"
    return None


def _gain(name: str, candidate: Mapping[str, float], champion: Mapping[str, float]) -> float:
    difference = candidate[name] - champion[name]
    return -difference if name in metrics.LOWER_IS_BETTER else difference
