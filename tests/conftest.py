"""Tests that need a container engine are skipped where none answers, unless one is demanded."""

from __future__ import annotations

import os
import re
from typing import Any

import docker
import hypothesis
import pytest
from docker.errors import DockerException
from xdist.scheduler.loadscope import LoadScopeScheduling

# The same examples each time: a change is judged by what it changes. benchmarks/fuzz.py draws new ones.
hypothesis.settings.register_profile("steady", derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def engine_answers() -> bool:
    try:
        return bool(docker.from_env(timeout=3).ping())
    except DockerException:
        return False


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are CPUs: much of the suite waits for something to start or to end."""
    return min(4, len(os.sched_getaffinity(0)) + 1)


class Scheduling(LoadScopeScheduling):
    """A file's tests run in one worker, and those of a deployment, which are in several files."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        runtime = re.search(r"[\[-](process|container)[-\]]", test)
        return runtime[1] if runtime and file.startswith("tests/functional/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)
    marked = [item for item in items if item.get_closest_marker("engine")]
    if not marked or engine_answers():
        return
    if os.environ.get("MLOPS_REQUIRE_ENGINE") == "1":
        raise pytest.UsageError(
            f"MLOPS_REQUIRE_ENGINE=1, {len(marked)} tests need a container engine, and none answers"
        )
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="no container engine answers"))


def _place(item: pytest.Item) -> tuple[bool, bool, bool]:
    """Whole deployments first: they take longest, and no worker should be left alone with one at the end.

    What judges a deployment's whole record comes after everything that adds to it.
    """
    callspec = getattr(item, "callspec", None)
    runtime = callspec.params.get("runtime") if callspec else None
    return runtime is None, runtime == "container", "record" in getattr(item, "fixturenames", ())
