"""The evaluation as a page for people: one HTML file with its plots in it, which loads nothing.

Written by the evaluation job beside evaluation.json. The plots are SVG by leather; everything that came from
a dataset or a model is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import leather
import numpy as np

from model_src.dataset import Dataset
from model_src.metrics import Floats

_CANDIDATE, _CHAMPION, _GUIDE = "#1f5fa8", "#c2571a", "#9a9a9a"
_WIDTH, _HEIGHT = 420, 320
_MOST_POINTS: Final = 400  # in one plot
_MOST_CLASSES: Final = 12  # with a plot of their own
_BINS: Final = 10

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { border: 1px solid #ccc; padding: .25rem .6rem; text-align: right; }
th { background: #f3f3f3; } th:first-child, td:first-child, td.text, #gates th { text-align: left; }
.passed { color: #176b2c; } .failed { color: #a3160c; font-weight: bold; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { max-width: 420px; }
"""


@dataclass(frozen=True)
class Page:
    """What the page shows beyond evaluation.json: the answers to the holdout, row by row."""

    dataset: Dataset
    candidate: Floats
    champion: Floats | None
    drift: Sequence[Mapping[str, Any]]


def render_page(report: Mapping[str, Any], page: Page) -> str:
    """The whole HTML document."""
    name = escape(str(report["model"]))
    sections = [_verdict(report), _gates(report), _quality(report, page), *_plots(page), _drift(page.drift)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>Evaluation of {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Evaluation of {name}</h1>\n" + "\n".join(filter(None, sections)) + "\n</body>\n</html>\n"
    )


def _verdict(report: Mapping[str, Any]) -> str:
    missed = [gate["name"] for gate in report["gates"] if not gate["passed"]]
    told = "keeps every gate" if not missed else f"misses {len(missed)}: {', '.join(missed)}"
    champion = report["champion"]
    beside = f"run {champion['run_id']}" if champion else "none; nothing is served yet"
    facts = {
        "model": report.get("model_sha256", ""),
        "holdout": f"{report['rows']} rows, sha256 {report['holdout_sha256']}",
        "champion": beside,
        "latency of one row": f"{report['latency']['median_ms']:.3g} ms (median)",
        "model.onnx": f"{report['size']['bytes']} bytes",
    }
    rows = "".join(
        f'<tr><th>{escape(name)}</th><td class="text">{escape(value)}</td></tr>'
        for name, value in facts.items()
    )
    kind = "failed" if missed else "passed"
    return f'<p class="{kind}">The candidate {escape(told)}.</p><table id="facts">{rows}</table>'


def _gates(report: Mapping[str, Any]) -> str:
    rows = [
        (gate["name"], "passed" if gate["passed"] else "failed", gate["message"]) for gate in report["gates"]
    ]
    cells = "".join(
        f'<tr><td>{escape(name)}</td><td class="{word}">{word}</td>'
        f'<td class="text">{escape(message)}</td></tr>'
        for name, word, message in rows
    )
    return (
        f'<h2>Gates</h2><table id="gates"><tr><th>gate</th><th>outcome</th><th>why</th></tr>{cells}</table>'
    )


def _quality(report: Mapping[str, Any], page: Page) -> str:
    (group,) = (group for name, group in report.items() if name.endswith("_metrics"))
    measured = {name: value for name, value in group.items() if "value" in value}
    rows = [[name, value["value"], value["standard_deviation"]] for name, value in measured.items()]
    parts = [
        "<h2>Metrics on the holdout</h2>",
        _table("metrics", ["metric", "candidate", "standard deviation"], rows),
    ]
    champion = report["champion"]
    if champion and champion["comparisons"]:
        percent = f"{champion['confidence']:.0%}"
        heads = ["metric", "candidate", "champion", "gain", f"gain from ({percent})", f"to ({percent})"]
        compared = [
            [one[key] for key in ("metric", "candidate", "champion", "gain", "low", "high")]
            for one in champion["comparisons"]
        ]
        parts += [
            "<h2>Champion beside challenger</h2>",
            f"<p>Method: {escape(champion['method'])}.</p>",
            _table("champion", heads, compared),
        ]
    if page.dataset.classes:
        parts.append(_confusion(group["confusion_matrix"]))
        by_class = [
            [name, value["recall"], value["precision"], value["rows"]]
            for name, value in report["classes"].items()
        ]
        parts.append(_table("classes", ["class", "recall", "precision", "rows"], by_class))
    return "".join(parts)


def _confusion(matrix: Mapping[str, Mapping[str, int]]) -> str:
    heads = "".join(f"<th>{escape(label)}</th>" for label in matrix)
    rows = []
    for label, row in matrix.items():
        total = max(sum(row.values()), 1)
        cells = "".join(
            f'<td style="background: rgba(31, 95, 168, {count / total * 0.6:.2f})">{count}</td>'
            for count in row.values()
        )
        rows.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    return (
        "<h2>Confusion matrix</h2><p>A row is what is true, a column what the candidate said.</p>"
        f'<table id="confusion"><tr><th></th>{heads}</tr>{"".join(rows)}</table>'
    )


def _plots(page: Page) -> Iterator[str]:
    answers = {"candidate": (page.candidate, _CANDIDATE)}
    if page.champion is not None:
        answers["champion"] = (page.champion, _CHAMPION)
    draw = _classification_plots if page.dataset.classes else _regression_plots
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
        for svg, caption in draw(page.dataset, answers)
    )
    yield f'<h2>Plots</h2><div class="plots">{figures}</div>'


def _classification_plots(
    dataset: Dataset, answers: Mapping[str, tuple[Floats, str]]
) -> Iterator[tuple[str, str]]:
    actual = dataset.target.astype(np.int64)
    for index, label in list(enumerate(dataset.classes))[:_MOST_CLASSES]:
        chart = _square(f"ROC: {label}", "false positive rate", "true positive rate")
        areas = []
        for name, (probabilities, color) in answers.items():
            points, area = roc_curve(actual == index, probabilities[:, index])
            chart.add_line(points, name=name, stroke_color=color)
            areas.append(f"{name} {area:.3f}")
        yield chart.to_svg(width=_WIDTH, height=_HEIGHT), f"{label} against the rest; area {', '.join(areas)}"
    chart = _square("Calibration", "probability of the answer", "share of right answers")
    for name, (probabilities, color) in answers.items():
        # Dots, not a line: sure answers may all be of one bin.
        chart.add_dots(calibration(actual, probabilities), name=name, fill_color=color, radius=4)
    yield chart.to_svg(width=_WIDTH, height=_HEIGHT), "On the diagonal, a model is as often right as it says"


def _regression_plots(
    dataset: Dataset, answers: Mapping[str, tuple[Floats, str]]
) -> Iterator[tuple[str, str]]:
    chart = leather.Chart("Residuals")
    some = np.linspace(0, len(dataset.target) - 1, min(len(dataset.target), _MOST_POINTS)).astype(int)
    for name, (predicted, color) in answers.items():
        residuals = (dataset.target - predicted)[some]
        points = _points(zip(predicted[some], residuals, strict=True))
        chart.add_dots(points, name=name, fill_color=color, radius=2.5)
    _label(chart, "predicted", "actual - predicted")
    yield chart.to_svg(width=_WIDTH, height=_HEIGHT), "Residuals without a pattern stay around zero"
    chart = leather.Chart("Calibration")
    low, high = float(dataset.target.min()), float(dataset.target.max())
    chart.add_line([(low, low), (high, high)], name="ideal", stroke_color=_GUIDE)
    for name, (predicted, color) in answers.items():
        groups = np.array_split(np.argsort(predicted, kind="stable"), min(_BINS, len(predicted)))
        points = _points((predicted[rows].mean(), dataset.target[rows].mean()) for rows in groups)
        chart.add_line(points, name=name, stroke_color=color)
    _label(chart, "mean prediction", "mean of the target")
    yield chart.to_svg(width=_WIDTH, height=_HEIGHT), "Tenths of the holdout, by the prediction"


def _drift(drift: Sequence[Mapping[str, Any]]) -> str:
    if not drift:
        return ""
    rows = [[one["column"], one["psi"], one["limit"]] for one in drift]
    chart = leather.Chart("Population stability index")
    shown = sorted(drift, key=lambda one: -float(one["psi"]))[:_MOST_CLASSES]
    chart.add_bars([(float(one["psi"]), str(one["column"])) for one in shown], fill_color=_CANDIDATE)
    chart.add_x_scale(0.0, max(0.5, *(float(one["psi"]) for one in shown)))
    height = 120 + 24 * len(shown)
    return (
        "<h2>Feature drift</h2><p>The candidate's training data against the champion's, column by column.</p>"
        + _table("drift", ["column", "PSI", "limit"], rows)
        + f"<figure>{chart.to_svg(width=2 * _WIDTH, height=height)}</figure>"
    )


def roc_curve(positive: np.ndarray[Any, Any], scores: Floats) -> tuple[list[tuple[float, float]], float]:
    """False and true positive rate at each score, thinned, and the area under the whole curve.

    A class that no row or every row has gives the diagonal.
    """
    order = np.argsort(-scores, kind="stable")
    hits, ranked = positive[order], scores[order]
    if not hits.any() or hits.all():
        return [(0.0, 0.0), (1.0, 1.0)], 0.5
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # equal scores are one step
    true = np.append(0.0, np.cumsum(hits)[last] / hits.sum())
    false = np.append(0.0, np.cumsum(~hits)[last] / (~hits).sum())
    area = float(np.trapezoid(true, false))
    some = np.linspace(0, len(true) - 1, min(len(true), _MOST_POINTS)).astype(int)
    return _points(zip(false[some], true[some], strict=True)), area


def calibration(actual: np.ndarray[Any, Any], probabilities: Floats) -> list[tuple[float, float]]:
    """Mean probability of the answer and share of right ones, for tenths of probability that occur."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == actual
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    return _points((sure[bins == i].mean(), right[bins == i].mean()) for i in np.unique(bins))


def _square(title: str, x: str, y: str) -> Any:
    chart = leather.Chart(title)
    chart.add_x_scale(0.0, 1.0)
    chart.add_y_scale(0.0, 1.0)
    chart.add_line([(0.0, 0.0), (1.0, 1.0)], name="diagonal", stroke_color=_GUIDE)
    _label(chart, x, y)
    return chart


def _label(chart: Any, x: str, y: str) -> None:
    chart.add_x_axis(name=x)
    chart.add_y_axis(name=y)


def _points(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in pairs]


def _table(name: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{_shown(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table id="{name}"><tr>{head}</tr>{body}</table>'


def _shown(cell: object) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else escape(str(cell))
