"""Control groups of both versions, as trees of files."""

from pathlib import Path

import pytest

from fomo.system.control_groups import available_memory, cpu_quota, folders, memory_left, process_bytes
from tests.fomo.helpers import put

GIB = 2**30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    put(tmp_path / "proc" / "meminfo", f"MemTotal: 99 kB\nMemAvailable:   {16 * GIB // 1024} kB\n")
    return tmp_path / "proc"


def test_version_2_takes_the_tightest_limit_on_the_way_up(tmp_path: Path, proc: Path) -> None:
    put(proc / "self" / "cgroup", "0::/jobs/mine\n")
    top = tmp_path / "cgroup"
    put(top / "jobs" / "cpu.max", "200000 100000\n")
    put(top / "jobs" / "mine" / "cpu.max", "max 100000\n")
    put(top / "jobs" / "memory.max", f"{8 * GIB}\n")
    put(top / "jobs" / "memory.current", f"{3 * GIB}\n")
    put(top / "jobs" / "memory.stat", f"anon 7\ninactive_file {GIB}\n")
    put(top / "jobs" / "mine" / "memory.max", "max\n")
    assert cpu_quota(folders("cpu", proc, top)) == 2
    assert available_memory(proc, top) == 6 * GIB  # 8 less 3, of which 1 can be dropped


def test_version_1_has_a_tree_per_controller_and_writes_no_limit_as_a_huge_one(tmp_path: Path, proc: Path) -> None:
    put(proc / "self" / "cgroup", "5:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/\n")
    top = tmp_path / "cgroup"
    put(top / "cpu" / "cpu.cfs_quota_us", "150000\n")  # the host's path /docker/1 is not seen inside
    put(top / "cpu" / "cpu.cfs_period_us", "100000\n")
    put(top / "memory" / "docker" / "1" / "memory.limit_in_bytes", f"{2 * GIB}\n")
    put(top / "memory" / "docker" / "1" / "memory.usage_in_bytes", f"{GIB}\n")
    put(top / "memory" / "memory.limit_in_bytes", "9223372036854771712\n")
    put(top / "memory" / "memory.usage_in_bytes", f"{GIB}\n")
    assert cpu_quota(folders("cpu", proc, top)) == 1.5
    assert memory_left(folders("memory", proc, top)) == GIB == available_memory(proc, top)


def test_without_limits_the_machine_decides(tmp_path: Path, proc: Path) -> None:
    put(proc / "self" / "cgroup", "3:cpu:/\n0::/\n")
    put(tmp_path / "cgroup" / "cpu" / "cpu.cfs_quota_us", "-1\n")
    put(tmp_path / "cgroup" / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert cpu_quota(folders("cpu", proc, tmp_path / "cgroup")) is None
    assert available_memory(proc, tmp_path / "cgroup") == 16 * GIB


def test_this_machine_has_memory_and_this_process_takes_some() -> None:
    assert available_memory() > 2**20 and process_bytes() > 2**20
