"""What processes use, read from /proc (Linux): memory, and CPU time of whole trees."""

from __future__ import annotations

import os
from pathlib import Path


def parents() -> dict[int, int]:
    """Process id to its parent's."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = read_stat(path)
        if fields:
            found[int(path.parent.name)] = int(fields[1])
    return found


def read_stat(path: Path) -> list[str]:
    """The fields after the program's name: state, parent, ...; nothing when the process has ended."""
    try:
        return path.read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []


def tree(root: int) -> set[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, waiting = set(), [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time so far; 0 when the process has ended."""
    fields = read_stat(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def resident_mb(pid: int) -> float:
    """Resident memory; 0 when the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(sizes[0]) / 1024 if sizes else 0.0


def proportional_mb(pid: int) -> float:
    """Memory of its own, and its part of what it shares; 0 when the process has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")]
    return int(sizes[0]) / 1024 if sizes else 0.0
