"""Checks of room: memory, disk, shared memory, open files, against what the job asks for."""

from fomo.checkpoint.writer import KEPT
from fomo.doctor.facts import Compute, Disk, Job, Limits
from fomo.doctor.verdict import Level, Verdict, graded, judged, size

GIB, MIB = 2**30, 2**20
COMFORT = 1.25
"""Room over what is predicted: allocators leave gaps."""
PREFETCHED = 2
"""Batches that each worker has ready."""
FILES, FILES_PER_WORKER = 256, 64
"""Open files of a process with its libraries; of a worker, its pipes, tensors on their way."""
LESS_MEMORY = "runtime.grad_checkpointing=true, a smaller batch_size or model, or method=lora; see `fomo budget`."


def memory(available: int, job: Job) -> Verdict:
    """The host's memory."""
    of_steps = 0 if job.device != "cpu" else job.peak_bytes
    if of_steps is None:
        return _unknown("memory", f"{size(available)} available", job)
    needed = job.process_bytes + of_steps
    advice = f"the job would be killed, or swap: stop other programs. {LESS_MEMORY}"
    return _room("memory", available, needed, COMFORT * needed, "available", advice)


def gpu_memory(compute: Compute, job: Job) -> Verdict | None:
    """The GPU's memory; ``None`` without one."""
    if compute.free_bytes is None:
        return None
    if job.peak_bytes is None:
        return _unknown("GPU memory", f"{size(compute.free_bytes)} free", job)
    advice = f"`nvidia-smi` names who else is on the GPU. {LESS_MEMORY}"
    return _room("GPU memory", compute.free_bytes, job.peak_bytes, COMFORT * job.peak_bytes, "free", advice)


def disk_space(disk: Disk, job: Job) -> Verdict:
    """Checkpoints that are kept, the one being written, and the final weights."""
    needed = (KEPT + 1) * job.checkpoint_bytes + job.weights_bytes
    advice = f"make room on the disk of {disk.folder}, or choose another run.dir."
    return _room("disk space", disk.free_bytes, needed, 2 * needed + GIB, "free", advice)


def cache_space(disk: Disk) -> Verdict:
    """Where pictures and models are kept that can be made again."""
    advice = f"make room on the disk of {disk.folder}, or point FOMO_CACHE elsewhere."
    return _room("cache space", disk.free_bytes, 64 * MIB, GIB, "free", advice)


def shared_memory(limits: Limits, job: Job) -> Verdict | None:
    """Workers hand batches over through it; ``None`` where there is none, or nobody uses it."""
    if limits.shared_memory is None or job.num_workers == 0:
        return None
    needed = (job.num_workers * PREFETCHED + 1) * job.batch_bytes
    advice = f"in a container: --shm-size={-(-2 * needed // MIB)}m or --ipc=host; else fewer runtime.num_workers."
    return _room("shared memory", limits.shared_memory, needed, 2 * needed, "free in /dev/shm", advice)


def open_files(limits: Limits, job: Job) -> Verdict:
    """The process's limit."""
    needed = FILES + FILES_PER_WORKER * job.num_workers + job.num_datasets
    advice = f"ulimit -n {min(2 * needed, limits.most_open_files)}"
    level = graded(limits.open_files, 2 * needed, needed)
    return judged("open files", f"{limits.open_files:,}", f"{2 * needed:,}", level, advice)


def _room(check: str, here: float, needed: float, plenty: float, word: str, advice: str) -> Verdict:
    return judged(check, f"{size(here)} {word}", f"{size(plenty)}", graded(here, plenty, needed), advice)


def _unknown(check: str, found: str, job: Job) -> Verdict:
    return judged(check, found, "not predicted", Level.YELLOW, f"{job.untried} Watch the first steps.")
