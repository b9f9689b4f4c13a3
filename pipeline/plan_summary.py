"""A plan in Markdown, for whoever is to approve it: what is lost comes first. Flow 1."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.plans import Manifest, count_changes

# What cannot be taken back comes first.
_ORDER = ("delete", "replace", "update", "create")
_WORDS = {"delete": "Destroyed", "replace": "Replaced", "update": "Changed in place", "create": "Created"}


def render_summary(manifest: Manifest) -> str:
    """Counts, then the resources, destroyed and replaced ones first, then policy's verdict."""
    return "\n".join([*_head(manifest), *_changes(manifest), *_verdict(manifest)]) + "\n"


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


def quote(text: str) -> str:
    """The text as code, on one line: no name of a resource or branch becomes a link, an image or HTML."""
    plain = re.sub(r"\s+", " ", text)
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    pad = " " if fence != "`" or plain.startswith(" ") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"
