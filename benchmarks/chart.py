"""Charts of what was measured, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot


def draw_serving(results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Requests per second of every server and case; the axis is logarithmic."""
    cases = [case for case in results["ours"]["cases"] if case.startswith(("json", "csv"))]
    figure, axes = pyplot.subplots(figsize=(11, 0.55 * len(cases) * 1.6 + 2), layout="constrained")
    height = 0.8 / len(results)
    for number, (name, result) in enumerate(results.items()):
        places = [index + number * height for index in range(len(cases))]
        rates = [result["cases"].get(case, {}).get("per_s", 0.0) for case in cases]
        bars = axes.barh(places, rates, height, label=name)
        axes.bar_label(bars, [_shown(rate) for rate in rates], padding=2, fontsize=6)
    axes.set_yticks([index + 0.4 - height / 2 for index in range(len(cases))], cases)
    axes.set_xscale("log")
    axes.set_xlabel("requests per second (logarithmic)")
    axes.set_title("One forest of 100 trees, side by side in one run")
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    axes.set_ylim(len(cases) - 0.3, -0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" if rate else ""
