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
from fomo.doctor import job, limits, measure
from fomo.doctor.facts import Clock, Cpu, Driver, Facts, Job, Limits, Package
from fomo.errors import FomoError
from fomo.running.folder import run_folder, state_of
from fomo.system.cache import cache_home
from fomo.system.workers import num_cores

MOST_FILES = 1000
SHARED_MEMORY = Path("/dev/shm")


def gather(resolved: Resolved, packages: tuple[Package, ...], asked: str) -> Facts:
    """Measure everything; ``asked`` is ``runtime.device`` as it was written. Takes some seconds, leaves nothing."""
    start = time.time(), time.monotonic()
    busy, available = os.getloadavg()[0], limits.available_memory()
    runtime, folder = resolved.config.runtime, run_folder(resolved)
    compute = measure.compute(runtime.device, runtime.precision, available)
    matmul = compute.matmul.get(runtime.precision)
    of_job, refusal = _job(resolved, job.Bounds(available, matmul.measured if matmul else math.inf))
    return Facts(
        packages=packages,
        driver=driver(asked),
        cpu=Cpu(torch.get_num_threads(), num_cores(), limits.cpu_quota(limits.folders("cpu")), busy),
        memory_bytes=available,
        compute=compute,
        run_disk=measure.disk(folder),
        cache_disk=measure.disk(cache_home(), speed=False),
        limits=process_limits(),
        network=measure.network(runtime.device),
        clock=clock(start, folder),
        job=of_job,
        refusal=refusal,
    )


def _job(resolved: Resolved, bounds: job.Bounds) -> tuple[Job | None, str]:
    try:
        state_of(run_folder(resolved), resolved)
        return job.measured(resolved, bounds), ""
    except (FomoError, OSError, torch.OutOfMemoryError) as error:
        return None, str(error)


def driver(asked: str) -> Driver:
    """GPUs in the machine, by their device files, and those that torch can use."""
    cards = [path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdecimal()]
    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Driver(asked, torch.version.cuda or torch.version.hip, _newest_cuda(), max(len(cards), usable), usable)


def _newest_cuda() -> str | None:
    """As NVIDIA's driver tells; ``None`` without it."""
    version = ctypes.c_int()
    with suppress(OSError):
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) == 0:
            return f"{version.value // 1000}.{version.value % 1000 // 10}"
    return None


def process_limits() -> Limits:
    """Of open files and shared memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = [2**31 if each == resource.RLIM_INFINITY else each for each in (soft, hard)]
    shared = os.statvfs(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
    return Limits(most[0], most[1], shared and shared.f_bavail * shared.f_frsize)


def clock(start: tuple[float, float], folder: Path) -> Clock:
    """The clock beside the files of the run's folder and of the package, and beside one that never jumps."""
    times = {path: modified for place in (folder, Path(__file__).parent) for path, modified in _files(place)}
    newest = max(times, key=lambda path: times[path])
    now, steady = time.time(), time.monotonic()
    return Clock(now, times[newest], str(newest), (now - start[0]) - (steady - start[1]))


def _files(folder: Path) -> Iterator[tuple[str, float]]:
    place = measure.existing(folder)
    yield str(place), place.stat().st_mtime
    with os.scandir(place) as entries:
        for _, entry in zip(range(MOST_FILES), entries, strict=False):
            with suppress(OSError):  # gone meanwhile
                yield entry.path, entry.stat(follow_symlinks=False).st_mtime
