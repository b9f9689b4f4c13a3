"""Mends of ministack's own services, one module each. `apply` is called once, before the server starts."""

from __future__ import annotations


def apply() -> None:
    """Applies every mend to the ministack that is imported in this process."""
