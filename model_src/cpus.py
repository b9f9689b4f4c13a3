"""How many CPUs this process really has: what it may be scheduled on, within what its cgroups let it use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def count_cpus() -> int:
    """The CPUs of this process, at least 1. A worker for each keeps them busy; more would only take turns."""
    membership = Path("/proc/self/cgroup")
    text = membership.read_text() if membership.exists() else ""
    return usable_cpus(len(os.sched_getaffinity(0)), read_quota(Path("/sys/fs/cgroup"), membership=text))


def usable_cpus(affinity: int, quota: float | None) -> int:
    """CPUs worth a worker each: a quota of 1.5 CPUs is worth two, one of 0.25 is worth one."""
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def read_quota(root: Path, *, membership: str) -> float | None:
    """CPUs that the tightest cgroup around this process allows; None where none sets a limit.

    `root` is /sys/fs/cgroup, `membership` the text of /proc/self/cgroup.
    Source: the Linux kernel's cgroup-v2.rst ("cpu.max") and, for version 1, sched-bwc.rst.
    """
    quotas = [quota for folder in _cgroups(root, membership) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _cgroups(root: Path, membership: str) -> Iterator[Path]:
    """The folders of this process's cgroups and of all around them, of version 2 and of version 1's cpu."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        own = base / path.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(base))


def _quota(folder: Path) -> float | None:
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
    elif (folder / "cpu.cfs_quota_us").exists():
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    else:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)
