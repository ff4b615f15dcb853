"""Checks of room: what there is of memory, disk, shared memory and open files, against what the job asks for."""

from fomo.checkpoint.writer import KEPT
from fomo.doctor.facts import Compute, Disk, JobFacts, ProcessLimits
from fomo.doctor.verdict import Level, Verdict, graded, judged, size

GIB = 2**30
MIB = 2**20
COMFORT = 1.25
"""Room over what is predicted: allocators leave gaps."""
PREFETCHED = 2
"""Batches that each worker has ready."""
FILES = 256
"""Open files of a process with its libraries."""
FILES_PER_WORKER = 64
"""Its pipes, and tensors on their way."""
LESS_MEMORY = "runtime.grad_checkpointing=true, a smaller batch_size or model, or method=lora; see `fomo budget`."


def memory(available: int, job: JobFacts) -> Verdict:
    """The host's memory, against what the process and, on a CPU, a step take."""
    of_steps = 0 if job.device != "cpu" else job.peak_bytes
    if of_steps is None:
        return _unknown("memory", f"{size(available)} available", job)
    needed = job.process_bytes + of_steps
    advice = f"the job would be killed, or swap: stop other programs. {LESS_MEMORY}"
    return _room("memory", available, needed, COMFORT * needed, "available", advice)


def gpu_memory(compute: Compute, job: JobFacts) -> Verdict | None:
    """The GPU's memory, against what a step takes; ``None`` without a GPU."""
    if compute.free_bytes is None:
        return None
    if job.peak_bytes is None:
        return _unknown("GPU memory", f"{size(compute.free_bytes)} free", job)
    advice = f"`nvidia-smi` names who else is on the GPU. {LESS_MEMORY}"
    return _room("GPU memory", compute.free_bytes, job.peak_bytes, COMFORT * job.peak_bytes, "free", advice)


def disk_space(disk: Disk, job: JobFacts) -> Verdict:
    """The disk of the run, against two kept checkpoints, the one being written, and the final weights."""
    needed = (KEPT + 1) * job.checkpoint_bytes + job.weights_bytes
    advice = f"make room on the disk of {disk.folder}, or choose another run.dir."
    return _room("disk space", disk.free_bytes, needed, 2 * needed + GIB, "free", advice)


def cache_space(disk: Disk) -> Verdict:
    """The disk of the cache, where images and models are kept that can be made again."""
    advice = f"make room on the disk of {disk.folder}, or point FOMO_CACHE elsewhere."
    return _room("cache space", disk.free_bytes, 64 * MIB, GIB, "free", advice)


def shared_memory(limits: ProcessLimits, job: JobFacts) -> Verdict | None:
    """Shared memory, through which workers hand over batches; ``None`` without it, and without workers.

    While a model is evaluated, or a part passes over the new data, other workers have the next batches ready.
    """
    if limits.shared_memory is None or job.num_workers == 0:
        return None
    needed = (2 * job.num_workers * PREFETCHED + 1) * job.batch_bytes
    advice = f"in a container: --shm-size={-(-2 * needed // MIB)}m or --ipc=host; else fewer runtime.num_workers."
    return _room("shared memory", limits.shared_memory, needed, 2 * needed, "free in /dev/shm", advice)


def open_files(limits: ProcessLimits, job: JobFacts) -> Verdict:
    """The limit on open files, against what the process, its workers and the datasets open."""
    needed = FILES + FILES_PER_WORKER * job.num_workers + job.num_datasets
    advice = f"ulimit -n {min(2 * needed, limits.most_open_files)}"
    level = graded(limits.open_files, 2 * needed, needed)
    return judged("open files", f"{limits.open_files:,}", f"{2 * needed:,}", level, advice)


def _room(check: str, here: float, needed: float, plenty: float, word: str, advice: str) -> Verdict:
    """The verdict on a resource.

    Args:
        check: its name.
        here: bytes that there are.
        needed: bytes for yellow.
        plenty: bytes for green.
        word: what ``here`` is called: "free", "available".
        advice: what to do if they are too few.
    """
    return judged(check, f"{size(here)} {word}", f"{size(plenty)}", graded(here, plenty, needed), advice)


def _unknown(check: str, found: str, job: JobFacts) -> Verdict:
    return judged(check, found, "not predicted", Level.YELLOW, f"{job.untried} Watch the first steps.")
