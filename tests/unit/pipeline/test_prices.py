"""A plan's monthly cost, from the price table that ships with the package."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.prices import CostLine, compare_costs, estimate, load_prices, tell_cost

IAC = Path(__file__).parents[3] / "iac"
PRICES = load_prices()
NETWORK = "module.network[0]"


def change(
    type_: str, after: dict[str, Any] | None, *, before: dict[str, Any] | None = None, module: str = ""
) -> dict[str, Any]:
    return {
        "type": type_,
        "mode": "managed",
        "module_address": module,
        "change": {"before": before, "after": after},
    }


def plan(*changes: dict[str, Any], **endpoint_instances: Any) -> dict[str, Any]:
    return {
        "resource_changes": list(changes),
        "output_changes": {"endpoint_instances": endpoint_instances},
    }


def test_every_type_of_resource_in_the_code_is_in_the_table() -> None:
    code = "\n".join(file.read_text() for file in IAC.rglob("*.tf") if ".terraform" not in file.parts)
    types = set(re.findall(r'^resource "(\w+)"', code, re.MULTILINE))

    assert types
    assert types <= PRICES.known


def test_the_table_says_where_when_and_from_which_page() -> None:
    pages = {price.page for price in (*PRICES.standing, *PRICES.used)} | {PRICES.instances_page}

    assert PRICES.region == "us-east-1"
    assert date(2026, 1, 1) <= PRICES.looked_up
    assert all(
        re.fullmatch(r"https://aws\.amazon\.com/[a-z0-9/-]+/pricing/([a-z-]+/)?", page) for page in pages
    )


def test_a_second_instance_and_a_new_endpoint_cost_the_difference() -> None:
    small = {"iris": {"instance_type": "ml.m5.large", "instance_count": 1}}
    large = {"iris": {"instance_type": "ml.m5.large", "instance_count": 2}}
    endpoint = {"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}

    costs = compare_costs(plan(change("aws_vpc_endpoint", endpoint), before=small, after=large), PRICES)

    assert costs.before.total_usd == pytest.approx(0.115 * 730)
    assert costs.usd == pytest.approx(0.115 * 730 + 2 * 0.01 * 730)


def test_what_is_destroyed_costs_no_more() -> None:
    costs = compare_costs(plan(change("aws_kms_key", None, before={})), PRICES)

    assert costs.usd == pytest.approx(-1.0)
    assert costs.after.lines == ()


def test_an_endpoint_of_a_new_network_stands_in_each_of_its_subnets() -> None:
    subnets = [change("aws_subnet", {}, module=NETWORK) for _ in range(3)]
    elsewhere = change("aws_subnet", {}, module="module.other")
    endpoint = change("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface"}, module=NETWORK)

    found = estimate(plan(*subnets, elsewhere, endpoint), PRICES, when="after")

    assert [(line.what, line.count) for line in found.lines] == [("interface endpoint", 3)]


def test_a_gateway_costs_nothing() -> None:
    gateway = change("aws_vpc_endpoint", {"vpc_endpoint_type": "Gateway"})

    assert estimate(plan(gateway), PRICES, when="after").total_usd == 0


def test_an_alarm_is_paid_by_its_metrics() -> None:
    queries = [{"expression": "SUM([m0, m1])", "metric": []}, {"metric": [{}]}, {"metric": [{}]}]
    alarms = [change("aws_cloudwatch_metric_alarm", {"metric_query": found}) for found in (queries, [])]

    found = estimate(plan(*alarms), PRICES, when="after")

    assert found.total_usd == pytest.approx(0.30)


def test_what_has_no_price_is_named_and_not_taken_for_free() -> None:
    endpoints = {"iris": {"instance_type": "ml.p99.huge", "instance_count": 1}}

    found = estimate(plan(change("aws_nat_gateway", {}), after=endpoints), PRICES, when="after")

    assert found.unpriced == ("aws_nat_gateway", "ml.p99.huge")


def test_a_person_is_told_sums_and_what_differs() -> None:
    key, endpoint = {}, {"vpc_endpoint_type": "Interface", "subnet_ids": ["a", "b"]}
    told = tell_cost(
        compare_costs(
            plan(
                change("aws_kms_key", key, before=key),
                change("aws_vpc_endpoint", endpoint),
                change("aws_cloudwatch_dashboard", None, before={}),
                change("aws_new_thing", {}),
            ),
            PRICES,
        )
    )

    assert told.prices_of == PRICES.looked_up.isoformat()
    assert (told.before_usd, told.after_usd, told.difference_usd) == (4.0, 15.6, 11.6)
    assert told.lines == (CostLine("dashboard", 1, 0, -3.0), CostLine("interface endpoint", 0, 2, 14.6))
    assert told.unpriced == ("aws_new_thing",)
