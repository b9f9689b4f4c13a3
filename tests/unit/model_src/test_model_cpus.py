"""The CPUs that a container really has."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_src.cpus import count_cpus, read_quota, usable_cpus


@pytest.mark.parametrize(
    ("affinity", "quota", "cpus"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.25, 1), (2, 4.0, 2), (1, None, 1)],
)
def test_a_worker_for_each_cpu_that_can_be_used(affinity: int, quota: float | None, cpus: int) -> None:
    assert usable_cpus(affinity, quota) == cpus


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs_", "cpu.cfs_")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def test_version_2_takes_the_tightest_of_the_cgroups_around(tmp_path: Path) -> None:
    write(tmp_path, a__cpu_max="400000 100000", a__b__cpu_max="max 100000", a__b__c__cpu_max="150000 100000")

    assert read_quota(tmp_path, membership="0::/a/b/c\n") == 1.5
    assert read_quota(tmp_path, membership="0::/a/b\n") == 4
    assert read_quota(tmp_path, membership="0::/\n") is None


def test_version_1_reads_the_cpu_controller_only(tmp_path: Path) -> None:
    write(tmp_path, cpu__a__cfs_quota_us="50000", cpu__a__cfs_period_us="100000")
    write(tmp_path, cpu__b__cfs_quota_us="-1", cpu__b__cfs_period_us="100000")

    assert read_quota(tmp_path, membership="3:memory:/b\n4:cpu,cpuacct:/a\n") == 0.5
    assert read_quota(tmp_path, membership="4:cpu,cpuacct:/b\n") is None


def test_a_container_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    write(tmp_path, cpu_max="200000 100000")

    assert read_quota(tmp_path, membership="0::/../../elsewhere\n") == 2
    assert read_quota(tmp_path, membership="0::/\n") == 2


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert read_quota(tmp_path, membership="") is None
    assert count_cpus() >= 1
