"""What a plan's resources cost in a month by list price, before and after it.

Flow 1, between plan and apply: a person is told it before approving. Reads the plan's JSON representation and
the price table beside this module. What costs by use (requests, bytes) is no part of a sum: no plan knows it.

Source: Terraform, "JSON Output Format" (plan representation); AWS's pricing pages, named in prices.toml.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

TABLE = Path(__file__).with_name("prices.toml")
# The output of iac/environment that says what releases will run; no resource of Terraform's does.
INSTANCES_OUTPUT = "endpoint_instances"

When = Literal["before", "after"]


@dataclass(frozen=True)
class Standing:
    """The price of one resource of a type that costs by being there; `where` are attributes it must have."""

    type: str
    what: str
    usd_per_month: float
    page: str
    each: str | None
    where: Mapping[str, Any]


@dataclass(frozen=True)
class Used:
    """The price of `unit` of what is done with a resource of a type."""

    type: str
    what: str
    unit: str
    usd: float
    page: str


@dataclass(frozen=True)
class Prices:
    """List prices of one region on one day. `known` are the types that it has something to say of."""

    region: str
    looked_up: date
    standing: tuple[Standing, ...]
    used: tuple[Used, ...]
    instances: Mapping[str, float]
    instances_page: str
    known: frozenset[str]


@dataclass(frozen=True)
class Line:
    """So many of one thing, and what they cost in a month."""

    what: str
    count: int
    usd_per_month: float

    @property
    def total_usd(self) -> float:
        return self.count * self.usd_per_month


@dataclass(frozen=True)
class Estimate:
    """What stands costs in a month; `unpriced` are types and instance types that the table does not know."""

    lines: tuple[Line, ...]
    unpriced: tuple[str, ...]

    @property
    def total_usd(self) -> float:
        return sum(line.total_usd for line in self.lines)


@dataclass(frozen=True)
class CostDifference:
    """A month before and after a plan, by the prices of `looked_up`."""

    region: str
    looked_up: date
    before: Estimate
    after: Estimate

    @property
    def usd(self) -> float:
        return self.after.total_usd - self.before.total_usd


@dataclass(frozen=True)
class CostLine:
    """How one kind of thing becomes more or less."""

    what: str
    before: int
    after: int
    difference_usd: float


@dataclass(frozen=True)
class PlanCost:
    """What a person is told of a plan's costs, by the month: sums to the cent, and the lines that differ.

    `prices_of` is the day of the price table; `unpriced` are the types that it knows no price of.
    """

    region: str
    prices_of: str
    before_usd: float
    after_usd: float
    difference_usd: float
    lines: tuple[CostLine, ...]
    unpriced: tuple[str, ...]


def load_prices(file: Path = TABLE) -> Prices:
    """The table that ships with the package."""
    raw = tomllib.loads(file.read_text())
    hours = raw["hours_per_month"]
    standing = tuple(
        Standing(
            type=entry["type"],
            what=entry["what"],
            usd_per_month=entry["usd_per_month"]
            if "usd_per_month" in entry
            else entry["usd_per_hour"] * hours,
            page=entry["page"],
            each=entry.get("each"),
            where=entry.get("where", {}),
        )
        for entry in raw["standing"]
    )
    used = tuple(Used(**entry) for entry in raw["used"])
    return Prices(
        region=raw["region"],
        looked_up=raw["looked_up"],
        standing=standing,
        used=used,
        instances={name: usd * hours for name, usd in raw["instances"]["usd_per_hour"].items()},
        instances_page=raw["instances"]["page"],
        known=frozenset(raw["nothing"]["types"])
        | {price.type for price in standing}
        | {price.type for price in used},
    )


def compare_costs(plan: Mapping[str, Any], prices: Prices) -> CostDifference:
    """What a month costs before and after `plan`, the JSON representation of a Terraform plan."""
    return CostDifference(
        region=prices.region,
        looked_up=prices.looked_up,
        before=estimate(plan, prices, when="before"),
        after=estimate(plan, prices, when="after"),
    )


def tell_cost(difference: CostDifference) -> PlanCost:
    """The difference in words that fit a plan's manifest."""
    before, after = (
        {line.what: line for line in part.lines} for part in (difference.before, difference.after)
    )
    lines = []
    for what in sorted({*before, *after}):
        old, new = before.get(what), after.get(what)
        usd = (new.total_usd if new else 0.0) - (old.total_usd if old else 0.0)
        if round(usd, 2):
            lines.append(CostLine(what, old.count if old else 0, new.count if new else 0, round(usd, 2)))
    return PlanCost(
        region=difference.region,
        prices_of=difference.looked_up.isoformat(),
        before_usd=round(difference.before.total_usd, 2),
        after_usd=round(difference.after.total_usd, 2),
        difference_usd=round(difference.usd, 2),
        lines=tuple(lines),
        unpriced=tuple(sorted({*difference.before.unpriced, *difference.after.unpriced})),
    )


def estimate(plan: Mapping[str, Any], prices: Prices, *, when: When) -> Estimate:
    """What stands before or after `plan`; alike things are one line."""
    counts: Counter[tuple[str, float]] = Counter()
    unpriced: set[str] = set()
    for change, values in _managed(plan, when):
        if change["type"] not in prices.known:
            unpriced.add(change["type"])
        for price in prices.standing:
            if price.type == change["type"] and price.where.items() <= values.items():
                counts[price.what, price.usd_per_month] += _count(price, change, values, plan)
    for instance_type, count in _instances(plan, when):
        usd_per_month = prices.instances.get(instance_type)
        if usd_per_month is None:
            unpriced.add(instance_type)
        else:
            counts[f"{instance_type} of an endpoint", usd_per_month] += count
    lines = tuple(Line(what, count, usd) for (what, usd), count in sorted(counts.items()) if count)
    return Estimate(lines, tuple(sorted(unpriced)))


def _managed(plan: Mapping[str, Any], when: When) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for change in plan.get("resource_changes", []):
        values = change["change"].get(when)
        if change["mode"] == "managed" and values is not None:
            yield change, values


def _instances(plan: Mapping[str, Any], when: When) -> Iterator[tuple[str, int]]:
    endpoints = plan.get("output_changes", {}).get(INSTANCES_OUTPUT, {}).get(when) or {}
    for endpoint in endpoints.values():
        yield endpoint["instance_type"], endpoint["instance_count"]


def _count(
    price: Standing, change: Mapping[str, Any], values: Mapping[str, Any], plan: Mapping[str, Any]
) -> int:
    """How many of what is paid for the resource is."""
    if price.each == "metric":
        metrics = [query for query in values.get("metric_query") or [] if query.get("metric")]
        return len(metrics) or 1
    if price.each == "zone":
        # Which subnets is not known before they are made; it is each one of the endpoint's own module.
        return len(values.get("subnet_ids") or ()) or _count_subnets(plan, change.get("module_address"))
    return 1


def _count_subnets(plan: Mapping[str, Any], module: str | None) -> int:
    return sum(
        change["type"] == "aws_subnet" and change.get("module_address") == module
        for change, _ in _managed(plan, "after")
    )
