"""All facts about this machine and a job."""

import ctypes
import math
import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from fomo.config.schema import Resolved
from fomo.doctor import measure
from fomo.doctor.bits import repeated_work
from fomo.doctor.facts import Clock, Cpu, Driver, JobFacts, MachineFacts, Package, ProcessLimits
from fomo.doctor.job import MachineBounds, job_facts
from fomo.errors import FomoError
from fomo.running.folder import run_folder, state_of
from fomo.system import control_groups
from fomo.system.cache import cache_home
from fomo.system.workers import num_cores

MOST_FILES = 1000
"""Whose times are looked at in a folder."""
SHARED_MEMORY = Path("/dev/shm")


def gather(resolved: Resolved, packages: tuple[Package, ...], asked: str, seconds: float) -> MachineFacts:
    """Measure everything, which takes some seconds and leaves nothing behind.

    Args:
        resolved: the job.
        packages: the versions that are installed.
        asked: ``runtime.device`` as it was written.
        seconds: how long bits are compared.
    """
    start = time.time(), time.monotonic()
    load = os.getloadavg()[0]  # before the measurements add to it
    available = control_groups.available_memory()
    runtime = resolved.config.runtime
    folder = run_folder(resolved)
    compute = measure.compute(runtime.device, runtime.precision, available)
    matmul = compute.matmul.get(runtime.precision)
    job, refusal = _job_or_refusal(resolved, MachineBounds(available, matmul.measured if matmul else math.inf))
    return MachineFacts(
        packages=packages,
        driver=driver(asked),
        cpu=Cpu(torch.get_num_threads(), num_cores(), control_groups.cpu_quota(control_groups.folders("cpu")), load),
        memory_bytes=available,
        compute=compute,
        run_disk=measure.disk(folder),
        cache_disk=measure.disk(cache_home(), speed=False),
        limits=process_limits(),
        network=measure.network(runtime.device),
        clock=clock(start, folder),
        job=job,
        refusal=refusal,
        repeated=repeated_work(runtime, seconds),
    )


def _job_or_refusal(resolved: Resolved, bounds: MachineBounds) -> tuple[JobFacts | None, str]:
    try:
        state_of(run_folder(resolved), resolved)
        return job_facts(resolved, bounds), ""
    except (FomoError, OSError, torch.OutOfMemoryError) as error:
        return None, str(error)


def driver(asked: str) -> Driver:
    """The GPUs of the machine, found by their device files; ``asked`` is ``runtime.device`` as it was written."""
    cards = [path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdecimal()]
    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Driver(asked, torch.version.cuda or torch.version.hip, _newest_cuda(), max(len(cards), usable), usable)


def _newest_cuda() -> str | None:
    """The newest CUDA that NVIDIA's driver runs; ``None`` without that driver."""
    version = ctypes.c_int()
    with suppress(OSError):
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) == 0:
            return f"{version.value // 1000}.{version.value % 1000 // 10}"
    return None


def process_limits() -> ProcessLimits:
    """The limits of this process on open files and shared memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files, most_open_files = (2**31 if each == resource.RLIM_INFINITY else each for each in (soft, hard))
    shared = os.statvfs(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
    return ProcessLimits(open_files, most_open_files, shared and shared.f_bavail * shared.f_frsize)


def clock(start: tuple[float, float], folder: Path) -> Clock:
    """The clock, beside one that never jumps and beside the files of the run's folder and of this package.

    ``start`` is what ``time.time()`` and ``time.monotonic()`` returned when the checks began.
    """
    times = {path: changed for each in (folder, Path(__file__).parent) for path, changed in _change_times(each)}
    newest = max(times, key=lambda path: times[path])
    now = time.time()
    return Clock(now, times[newest], newest, jump=(now - start[0]) - (time.monotonic() - start[1]))


def _change_times(folder: Path) -> Iterator[tuple[str, float]]:
    """Paths and times of the folder, or of the nearest one that is there, and of what lies in it."""
    there = measure.existing(folder)
    yield str(there), there.stat().st_mtime
    with os.scandir(there) as entries:
        for _, entry in zip(range(MOST_FILES), entries, strict=False):
            with suppress(OSError):  # gone meanwhile
                yield entry.path, entry.stat(follow_symlinks=False).st_mtime
