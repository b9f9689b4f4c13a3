"""A plan in Markdown, for whoever is to approve it: what is lost comes first. Flow 1."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.plans import Manifest, count_changes
from pipeline.prices import PlanCost

# What cannot be taken back comes first.
_ORDER = ("delete", "replace", "update", "create")
_WORDS = {"delete": "Destroyed", "replace": "Replaced", "update": "Changed in place", "create": "Created"}


def render_summary(manifest: Manifest) -> str:
    """Counts, then the resources, destroyed and replaced ones first, then policy's verdict and the cost."""
    return (
        "\n".join([*_head(manifest), *_changes(manifest), *_verdict(manifest), *_cost(manifest.cost)]) + "\n"
    )


def _head(manifest: Manifest) -> Iterator[str]:
    yield f"## Plan of {quote(manifest.stack)}"
    yield ""
    yield "| destroyed | replaced | changed | created |"
    yield "|---:|---:|---:|---:|"
    counts = count_changes(manifest.changes)
    yield "| " + " | ".join(str(counts[action]) for action in _ORDER) + " |"
    yield ""
    yield f"- plan {quote(manifest.plan_sha256)}"
    yield f"- commit {quote(manifest.commit)}"
    lineage = quote(manifest.basis.state_lineage or "none yet")
    yield f"- state serial {manifest.basis.state_serial} of {lineage}"
    yield f"- made {manifest.created_at}; not to be approved by {', '.join(map(quote, manifest.authors))}"


def _changes(manifest: Manifest) -> Iterator[str]:
    if not manifest.changes:
        yield from ("", "Nothing changes.")
    others = {change.action for change in manifest.changes} - set(_ORDER)
    for action in (*_ORDER, *sorted(others)):
        addresses = sorted(change.address for change in manifest.changes if change.action == action)
        if addresses:
            yield from ("", f"### {_WORDS.get(action, action)} ({len(addresses)})", "")
            yield from (f"- {quote(address)}" for address in addresses)


def _verdict(manifest: Manifest) -> Iterator[str]:
    yield from ("", "### Policy", "")
    if not manifest.verdict.findings:
        yield "Nothing is refused."
    for finding in manifest.verdict.findings:
        yield f"- **{finding.rule}**: {quote(finding.address)} {quote(finding.reason)}"
    if unjudged := manifest.verdict.unjudged:
        yield f"- {len(unjudged)} documents are known only when they are applied"


def _cost(cost: PlanCost) -> Iterator[str]:
    yield from ("", "### Cost by the month", "")
    yield (
        f"{tell_difference(cost)}, by AWS's list prices of {cost.prices_of} in {cost.region}. "
        "What costs by use is not in it."
    )
    if cost.lines:
        yield from ("", "| | before | after | USD a month |", "|---|---:|---:|---:|")
        yield from (
            f"| {quote(line.what)} | {line.before} | {line.after} | {line.difference_usd:+,.2f} |"
            for line in cost.lines
        )
    if cost.unpriced:
        yield from ("", f"Without a price in the table: {', '.join(map(quote, cost.unpriced))}.")


def tell_difference(cost: PlanCost) -> str:
    """The sum in a few words."""
    return f"{cost.difference_usd:+,.2f} USD a month, from {cost.before_usd:,.2f} to {cost.after_usd:,.2f}"


def quote(text: str) -> str:
    """The text as code, on one line: no name of a resource or branch becomes a link, an image or HTML."""
    plain = re.sub(r"\s+", " ", text)
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    pad = " " if fence != "`" or plain.startswith(" ") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"
