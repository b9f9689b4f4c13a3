"""Tests that need a container engine are skipped where none answers, unless one is demanded."""

from __future__ import annotations

import os

import docker
import hypothesis
import pytest
from docker.errors import DockerException

# The same examples each time: a change is judged by what it changes. benchmarks/fuzz.py draws new ones.
hypothesis.settings.register_profile("steady", derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def engine_answers() -> bool:
    try:
        return bool(docker.from_env(timeout=3).ping())
    except DockerException:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("engine")]
    if not marked or engine_answers():
        return
    if os.environ.get("MLOPS_REQUIRE_ENGINE") == "1":
        raise pytest.UsageError(
            f"MLOPS_REQUIRE_ENGINE=1, {len(marked)} tests need a container engine, and none answers"
        )
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="no container engine answers"))
