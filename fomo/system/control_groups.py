"""What the process may use: cores and memory, as Linux's control groups of either version limit them."""

import os
import resource
from pathlib import Path

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
KIB = 1024


def folders(controller: str, proc: Path = PROC, top: Path = CGROUP) -> list[Path]:
    """The control groups of the process for ``cpu`` or ``memory``, innermost first: each may set a limit."""
    found: list[Path] = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = top / controller if controllers else top
        inner = base / path.lstrip("/")
        # In a container the path may be the host's, which is not there: what is left is the container's own group.
        found += [each for each in (inner, *inner.parents) if each.is_relative_to(base) and each.is_dir()]
    return found


def cpu_quota(groups: list[Path]) -> float | None:
    """Cores that the groups have time for; ``None`` without a limit."""
    return min((quota for group in groups if (quota := _quota(group))), default=None)


def _quota(group: Path) -> float | None:
    words = _text(group / "cpu.max").split() or [
        _text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
    ]
    quota, period = (int(word) if word.isdecimal() else 0 for word in (*words, "", "")[:2])  # "max" and -1: none
    return quota / period if quota and period else None


def memory_left(groups: list[Path]) -> int | None:
    """Bytes until the nearest limit of the groups, file caches taken as free; ``None`` without a limit."""
    return min((left for group in groups if (left := _left(group)) is not None), default=None)


def _left(group: Path) -> int | None:
    for limit, usage, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most = _text(group / limit).strip()
        used = _text(group / usage).strip()
        if most.isdecimal() and used.isdecimal() and int(most) < 2**60:  # version 1 writes a huge number for none
            lines = dict(line.split() for line in _text(group / "memory.stat").splitlines() if line.count(" ") == 1)
            return max(0, int(most) - int(used) + int(lines.get(cached, 0)))
    return None


def available_memory(proc: Path = PROC, top: Path = CGROUP) -> int:
    """Bytes that the process can still take."""
    left = memory_left(folders("memory", proc, top))
    return min(each for each in (_machine_memory(proc), left) if each is not None)


def _machine_memory(proc: Path) -> int:
    lines = _text(proc / "meminfo").splitlines()
    free = (int(line.split()[1]) * KIB for line in lines if line.startswith("MemAvailable:"))
    return next(free, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # not every system tells what is free


def process_bytes() -> int:
    """The most that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def _text(path: Path) -> str:
    """The content of a file; empty where there is no such file, or it is not ours to read."""
    try:
        return path.read_text()
    except OSError:
        return ""
