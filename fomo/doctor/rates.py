"""Checks of speed: matrix products and copies against the table of devices, disk, loading against training."""

import math

from fomo.doctor.facts import Compute, Disk, JobFacts, Rate
from fomo.doctor.verdict import Level, Verdict, duration, graded, judged, rate, short
from fomo.report.words import amount

MATMUL = (0.6, 0.45)
"""Least shares of the listed rate for green and yellow. Cards that are held at a power limit reach half of it."""
COPY = (0.6, 0.4)
"""Least shares of the listed rate of the device's memory for green and yellow."""
UPLOAD = (0.5, 0.25)
"""Least shares of the listed rate of the bus for green and yellow."""
WRITE = (50e6, 10e6)
"""Least bytes per second for green and yellow."""
LOADING = (1.2, 1.0)
"""Batches that have to be loaded in the time of a step, for green and yellow."""
UNHIDDEN = 4.0
"""Batches in the time of a step for green on a GPU without workers: training stands still for a fifth of the time."""
HEADROOM = 1.5
"""Batches in the time of a step that more workers should bring."""
THROTTLED = "`nvidia-smi -q -d PERFORMANCE,CLOCK` says whether heat, power or another process holds the GPU back."


def matmul(precision: str, compute: Compute) -> Verdict:
    """The rate of square matrix products."""
    if precision not in compute.matmul:
        level = Level.RED if precision == compute.precision else Level.YELLOW
        advice = "another process may hold the device or its memory; or the device does not know the precision."
        return judged(f"matmul {precision}", "does not run", "runs", level, advice)
    return _against_listed(f"matmul {precision}", compute.matmul[precision], "FLOP", MATMUL, compute, THROTTLED)


def copy(compute: Compute) -> Verdict:
    """The rate of the device's memory, in bytes read and written."""
    return _against_listed("memory copy", compute.copy, "B", COPY, compute, THROTTLED)


def upload(measured: Rate, compute: Compute) -> Verdict:
    """The rate from the host's memory to the GPU's."""
    advice = "the GPU may sit in a slot with few lanes, or on another socket: see `nvidia-smi topo -m` and `numactl`."
    return _against_listed("host to GPU", measured, "B", UPLOAD, compute, advice)


def _against_listed(
    check: str, found: Rate, unit: str, least: tuple[float, float], compute: Compute, advice: str
) -> Verdict:
    shown = rate(found.measured, unit)
    if not compute.on_gpu:
        return judged(check, shown, "– (CPUs are not listed)", Level.GREEN, "")
    if found.listed is None:
        unlisted = f"{compute.name} is not in the table: compare with its maker's figure."
        return judged(check, shown, "not listed", Level.YELLOW, unlisted)
    share = found.measured / found.listed
    expected = f"{least[0]:.0%} of {rate(found.listed, unit)}"
    return judged(check, f"{shown}, {share:.0%}", expected, graded(share, *least), advice)


def bf16(compute: Compute) -> Verdict:
    """Whether the precision of the job is one that the device is made for."""
    wanted = compute.precision == "bf16"
    expected = "fast: the job uses it" if wanted else "the job uses fp32"
    if "bf16" not in compute.matmul:
        level = Level.RED if wanted else Level.GREEN
        return judged("bf16", "does not run", expected, level, "runtime.precision=fp32")
    times = compute.matmul["bf16"].measured / compute.matmul["fp32"].measured if "fp32" in compute.matmul else 1.0
    level = Level.GREEN
    if wanted and (not compute.native_bf16 or times < 1):
        level = Level.RED if compute.on_gpu and not compute.native_bf16 else Level.YELLOW
    found = f"{times:.2g} times fp32" + ("" if compute.native_bf16 else ", emulated")
    return judged("bf16", found, expected, level, "runtime.precision=fp32: bf16 is slow on this device.")


def disk_speed(disk: Disk, job: JobFacts | None) -> Verdict:
    """The rate of synced writing, as checkpoints are written, and the time of one against their interval."""
    check = "disk speed"
    expected = f"{rate(WRITE[0], 'B')} written"
    if disk.write is None or disk.read is None:
        advice = f"nothing can be written to {disk.folder}: choose another run.dir, or mend its permissions."
        return judged(check, disk.problem, expected, Level.RED, advice)
    level = graded(disk.write, *WRITE)
    found = f"{rate(disk.write, 'B')} written, {rate(disk.read, 'B')} read"
    if job is not None:
        seconds = job.checkpoint_bytes / disk.write
        found += f"; {duration(seconds)} a checkpoint"
        if job.checkpoint_minutes:
            level = max(level, graded(60 * job.checkpoint_minutes / max(seconds, 1e-9), 10, 1))
    advice = "a faster disk for run.dir; or fewer checkpoints: checkpoint.every_minutes=30"
    return judged(check, found, expected, level, advice)


def step(compute: Compute, job: JobFacts) -> Verdict | None:
    """How much of the device a training step uses; ``None`` where none was tried."""
    product = compute.matmul.get(compute.precision)
    if job.step_seconds is None or job.estimated or not job.step_flops or product is None:
        return None
    per_second = job.step_flops / job.step_seconds
    samples = f"{amount(job.batch_size / job.step_seconds, 4)} samples/s, {rate(per_second, 'FLOP')}"
    best = "the listed peak" if product.listed else "a matrix product"
    found = f"{samples}: {per_second / (product.listed or product.measured):.0%} of {best}"
    return judged("training step", found, "– (small models and batches use little)", Level.GREEN, "")


def loading(job: JobFacts, cores: float) -> Verdict | None:
    """How many batches are loaded in the time of a training step; ``None`` for a job that trains nothing."""
    check = "data loading"
    if job.step_seconds is None or not job.loading_seconds:
        if not job.untried:
            return None
        return judged(
            check, f"not tried: {job.untried}", "faster than training", Level.YELLOW, "the rows above say why."
        )
    ratio = job.step_seconds / job.loading_seconds
    green = LOADING[0] if job.num_workers > 0 or job.device == "cpu" else UNHIDDEN
    step = f"{duration(job.step_seconds)} a step" + (", by its FLOPs" if job.estimated else "")
    found = f"{short(ratio)} × as fast as training ({step})"
    level = graded(ratio, green, LOADING[1])
    return judged(check, found, f"{green:g} × or more", level, _more_workers(job, ratio, math.floor(cores)))


def _more_workers(job: JobFacts, ratio: float, cores: int) -> str:
    """The advice to take as many workers as bring the ``ratio`` to :data:`HEADROOM`, if there are cores for them."""
    wanted = max(job.num_workers + 1, math.ceil(HEADROOM * max(job.num_workers, 1) / ratio))
    if wanted <= cores:
        return f"runtime.num_workers={wanted}"
    more = f"runtime.num_workers={cores}, and " if cores > job.num_workers else ""
    return f"{more}smaller images (`fomo data import … --size`): {cores} cores are too few to load so many."
