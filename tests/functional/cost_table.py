#!/usr/bin/env python3
"""The table of standing costs in docs/infrastructure.md, from the plans of a deployment and the price table.

python tests/functional/cost_table.py     writes it, from the plans of the last functional run
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.prices import Estimate, Prices, estimate, load_prices

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "infrastructure.md"
PLANS = ROOT / "build" / "test" / "process" / "demo-plans"
BEGIN, END = "<!-- costs: begin -->\n", "<!-- costs: end -->\n"

COLUMNS = {
    "the account": ("bootstrap", "core"),
    "staging": ("environment-staging",),
    "production": ("environment-production",),
}


def render(plans: Path, prices: Prices) -> str:
    """A row for each thing that costs by being there: how many in each column, and their month."""
    estimates = {
        column: [
            estimate(json.loads((plans / name / "plan.json").read_text()), prices, when="after")
            for name in names
        ]
        for column, names in COLUMNS.items()
    }
    units = sorted(
        {
            (line.what, line.usd_per_month)
            for found in estimates.values()
            for each in found
            for line in each.lines
        }
    )
    lines = [f"| what | price and month | {' | '.join(COLUMNS)} |", "|---|---|---|---|---|"]
    for what, usd in units:
        cells = [_cell(sum(_count(each, what, usd) for each in found), usd) for found in estimates.values()]
        lines.append(f"| {what} | ${usd:.2f} | {' | '.join(cells)} |")
    totals = [f"**${sum(each.total_usd for each in found):.2f}**" for found in estimates.values()]
    lines.append(f"| together | | {' | '.join(totals)} |")
    return "\n".join(lines) + "\n"


def replace_table(document: str, table: str) -> str:
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}"


def _count(found: Estimate, what: str, usd: float) -> int:
    return sum(line.count for line in found.lines if (line.what, line.usd_per_month) == (what, usd))


def _cell(count: int, usd: float) -> str:
    return f"{count}: ${count * usd:.2f}" if count else "none"


if __name__ == "__main__":
    DOCUMENT.write_text(replace_table(DOCUMENT.read_text(), render(PLANS, load_prices())))
