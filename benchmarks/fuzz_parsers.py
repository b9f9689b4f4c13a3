"""The parsers under atheris, which looks for bodies by the code they reach.

    pip install atheris; python benchmarks/fuzz_parsers.py [-atheris_runs=200000] [-max_total_time=300]

Opt-in: atheris is not among the project's own packages. Anything but a matrix or a RequestError ends the run
with the body that did it. The options are libFuzzer's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["model_src"]):
    from model_src.encoding import Feature
    from model_src.errors import RequestError
    from model_src.media import TYPES, negotiate
    from model_src.request import RequestParser

MIXED = (
    Feature("a", "number", True),
    Feature("b", "integer", False, allowed=(1, 2)),
    Feature("c", "category", True, ("x", "y")),
    Feature("d", "category", False, ("x", "y"), closed=False),
)
PARSERS = (RequestParser(MIXED), RequestParser(MIXED[:2]))


def try_body(data: bytes) -> None:
    """One input: the first byte chooses parser and media type, the rest is the body; or a header."""
    if not data:
        return
    choice, body = data[0], data[1:]
    try:
        PARSERS[choice % 2].parse(TYPES[choice % 3], body)
        negotiate(TYPES[0], body.decode("latin-1"))
    except RequestError as error:
        if not 400 <= error.status < 500:
            raise


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_body)
    atheris.Fuzz()
