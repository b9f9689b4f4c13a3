"""Media types: which form a client sends, and which one it takes back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from model_src.errors import RequestError

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
TYPES: Final = (JSON, CSV, JSON_LINES)

MAX_HEADER_CHARACTERS: Final = 1024  # InvokeEndpoint's own limit for ContentType and Accept
_QUOTED = r'"(?:[^"\\]|\\.)*"?'
_BETWEEN_COMMAS = re.compile(rf'(?:[^",]|{_QUOTED})+')
_BETWEEN_SEMICOLONS = re.compile(rf'(?:[^";]|{_QUOTED})+')
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


@dataclass(frozen=True)
class Exchange:
    """The media types of one request and of its answer; `output` is Accept's parameter of that name."""

    sent: str
    answered: str
    output: str | None


@dataclass(frozen=True)
class _Range:
    """One part of an Accept header."""

    text: str
    name: str
    quality: float
    output: str | None
    position: int


def negotiate(
    content_type: str | None,
    accept: str | None,
    *,
    encoding: str | None = None,
    default_accept: str | None = None,
) -> Exchange:
    """The forms of request and answer; a client that takes anything gets `default_accept`, or what it sent.

    Raises: RequestError 415 if the request's form cannot be read, 406 if none is taken that can be written.
    """
    if len(content_type or "") > MAX_HEADER_CHARACTERS or len(accept or "") > MAX_HEADER_CHARACTERS:
        raise RequestError(431, f"Content-Type or Accept is over {MAX_HEADER_CHARACTERS} characters.")
    sent = sent_type(content_type)
    if encoding and encoding.strip().lower() != "identity":
        raise RequestError(415, f"The body's Content-Encoding is {encoding[:100]}; send it as it is.")
    ranges = _ranges(accept or "*/*")
    if default_accept and all(each.name == "*/*" and each.quality and not each.output for each in ranges):
        ranges = _ranges(default_accept)
    answered, output = _answered(ranges, sent)
    return Exchange(sent, answered, output)


def sent_type(header: str | None) -> str:
    """The media type of a Content-Type header, which must be one of TYPES, in UTF-8."""
    name, parameters = _split(header or "")
    if name not in TYPES:
        raise RequestError(415, f"Content-Type is {name or 'not given'}; send {' or '.join(TYPES)}.")
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in _CHARSETS:
        raise RequestError(415, f"The body's charset is {charset}; send UTF-8.")
    return name


def _ranges(accept: str) -> list[_Range]:
    return [_range(part, position) for position, part in enumerate(_BETWEEN_COMMAS.findall(accept))]


def _answered(ranges: Sequence[_Range], sent: str) -> tuple[str, str | None]:
    """The offered type of the highest quality; then what the header names first, then what was sent."""
    offers: list[tuple[float, int, int, str, str | None]] = []
    for rank, offered in enumerate((sent, *(name for name in TYPES if name != sent))):
        matching = [(level, each) for each in ranges if (level := _specificity(each.name, offered))]
        if not matching:
            continue
        _, best = max(matching, key=lambda match: match[0])
        if best.quality > 0:
            offers.append((-best.quality, best.position, rank, offered, best.output))
    if not offers:
        accept = ", ".join(each.text for each in ranges)
        raise RequestError(406, f"Accept is {accept}; this model answers {', '.join(TYPES)}.")
    *_, answered, output = min(offers, key=lambda offer: offer[:3])
    return answered, output


def _range(part: str, position: int) -> _Range:
    name, parameters = _split(part)
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = -1.0
    if not 0 <= quality <= 1:
        raise RequestError(400, f"Accept has a quality that is none: {part.strip()}.")
    name = "*/*" if name in ("", "*") else name  # Java's own client has long sent the bare asterisk
    return _Range(part.strip(), name, quality, parameters.get("output"), position)


def _specificity(name: str, offered: str) -> int:
    """How exactly a media range names a type: from 3, wholly, to 0, not at all (RFC 9110, 12.5.1)."""
    if name == offered:
        return 3
    if name == offered.split("/")[0] + "/*":
        return 2
    return 1 if name == "*/*" else 0


def _split(text: str) -> tuple[str, dict[str, str]]:
    """The name in front of the parameters, and the parameters."""
    name, *rest = _BETWEEN_SEMICOLONS.findall(text) or [""]
    pairs = (part.partition("=") for part in rest)
    return name.strip().lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
