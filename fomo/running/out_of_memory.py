"""Out of memory: where it was, what the rehearsal predicts, and a size that fits, found by making a step of it."""

import gc
import os
import resource
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from fomo.config import factory
from fomo.config.schema import Config
from fomo.errors import FomoError
from fomo.planning.planner import stream_shape, trial
from fomo.planning.rehearsal import rehearse
from fomo.running.prepared import Prepared
from fomo.stream.batch_ladder import BatchLadder
from fomo.stream.pools import StreamPools
from fomo.system.memory_fault import MemoryFault, is_out_of_memory
from fomo.system.ranks import is_first, world

GIB = 2**30
TASKS = 3
"""The rehearsal takes all later tasks to be like the third, where it is like the second."""
GRAIN = 64
"""Sizes are sought in steps of this part of the one that failed."""


def explain(fault: MemoryFault, run: Prepared, newest: Path | None) -> FomoError:
    """The error to show. What the run holds on the device is given up: nothing can go on with it.

    ``newest`` is its last checkpoint.
    """
    traceback.clear_frames(fault.__traceback__)
    if fault.__cause__:
        traceback.clear_frames(fault.__cause__.__traceback__)
    of_phase = {"step": _of_step, "evaluation": _of_evaluation}.get(fault.phase, _of_hook)
    text = of_phase(run) if world().size == 1 else _of_rank(run)  # the others would not take part in a try
    kept = f"What was made until then is in {newest}" if newest else "No checkpoint was written yet"
    kept = kept if is_first() else "The last checkpoint is whole"  # the first rank alone knows which it is
    return FomoError(
        f"out of memory {fault} on {run.resolved.config.runtime.device} ({fault.reason}). {text} Another "
        f"setting is another experiment: give it a run.dir of its own. {kept}; the same command goes on where "
        "there is more memory."
    )


def _of_step(run: Prepared) -> str:
    config = run.resolved.config
    config = replace(config, batch_size=max(config.sizes.distinct), batch_ramp=None, batch_ladder=BatchLadder())
    pools = run.maker.pools
    release(run)
    there = available(config.runtime.device)
    needed = predicted(config, pools)
    fitting = fitting_batch(config, pools, there, needed)
    found = (
        f"batch_size={fitting} fits: steps of that size were made here just now" if fitting else "No batch_size fits"
    )
    saving = _saving(config, pools, fitting)
    return f"batch_size={config.batch_size} does not fit.{_guide(needed, there)} {found}.{saving}"


def _saving(config: Config, pools: StreamPools, fitting: int | None) -> str:
    """What takes less memory at the same batch."""
    runtime = config.runtime
    in_pieces = replace(config, runtime=replace(runtime, micro_batch=fitting))
    if fitting and not runtime.micro_batch and _steps(in_pieces, pools):
        return f" runtime.micro_batch={fitting} fits too, and keeps the batch."
    return "" if runtime.grad_checkpointing else " runtime.grad_checkpointing=true takes less memory at the same batch."


def _guide(needed: int | None, there: int) -> str:
    """What the rehearsal says, if it could be made."""
    if needed is None:
        return ""
    text = f" By the rehearsal it takes {needed / GIB:.3g} GiB at its peak, and {there / GIB:.3g} GiB are there"
    return f"{text}." if needed > there else f"{text}: no guide here, something else takes memory too."


def _of_evaluation(run: Prepared) -> str:
    config = run.resolved.config
    _collect(config.runtime.device)
    size = config.evaluation.batch_size
    fitting = by_halves(size // 2, lambda n: _encodes(run, n))
    found = f"evaluation.batch_size={fitting} fits: images were encoded so" if fitting else "No smaller one fits"
    return f"evaluation.batch_size={size} does not fit. {found}."


def _of_rank(run: Prepared) -> str:
    config = run.resolved.config
    guide = _guide(predicted(config, run.maker.pools), available(config.runtime.device))
    return (
        f"batch_size={config.batch_size} and evaluation.batch_size={config.evaluation.batch_size} over {world().size} "
        f"processes do not fit.{guide} More processes, smaller batches or runtime.micro_batch, which keeps the batch, "
        "take less."
    )


def _of_hook(run: Prepared) -> str:
    config = run.resolved.config
    guide = _guide(predicted(config, run.maker.pools), available(config.runtime.device))
    return f"It was in a hook of the method, outside of a step.{guide} Take smaller sizes for its parts."


def predicted(config: Config, pools: StreamPools, batch_size: int | None = None) -> int | None:
    """Bytes at the peak in the run's own precision, by the rehearsal; ``None`` where the method cannot be rehearsed."""
    sized = replace(config, batch_size=batch_size or config.batch_size)
    model = factory.model_shapes(sized)
    make = partial(factory.learner, sized, model.network)
    try:
        shape = stream_shape(sized, model, pools.update_sizes[:TASKS], names=pools.names)
        mixed = config.runtime.precision != "fp32"
        cost = rehearse(make, shape, mixed)
        if not cost.steady:
            cost = rehearse(make, replace(shape, num_samples=pools.update_sizes), mixed)
        return cost.peak_bytes
    except FomoError:
        return None


def fitting_batch(config: Config, pools: StreamPools, there: int, whole: int | None) -> int | None:
    """A batch size whose steps can be made here: the largest one predicted to fit into ``there`` bytes, else by halves.

    ``None`` if not even two rows fit.

    Args:
        config: The run's, with the batch size that does not fit.
        pools: What it trains on.
        there: Bytes that there are.
        whole: Bytes that the whole batch is predicted to take; ``None``: it cannot be predicted.
    """

    def fits(batch_size: int) -> bool:
        needed = predicted(config, pools, batch_size)
        return needed is not None and needed <= there

    size = config.batch_size
    start = size // 2 if whole is None or whole <= there else largest(fits, size) or size // 2
    return by_halves(start, lambda n: _steps(replace(config, batch_size=n), pools))


def largest(fits: Callable[[int], bool], below: int) -> int:
    """The largest multiple of ``below`` ÷ 64 below ``below`` that fits, by bisection; 0 if none does."""
    grain = max(1, below // GRAIN)
    low = 0
    high = -(-below // grain)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * grain) else (low, middle)
    return low * grain


def by_halves(start: int, works: Callable[[int], bool]) -> int | None:
    """The first of ``start``, half of it, … that works; a contrastive batch has two rows at least."""
    while start >= 2:
        if works(start):
            return start
        start //= 2
    return None


def _steps(config: Config, pools: StreamPools) -> bool:
    """Whether a few real steps can be made, on a fresh model with a fresh method."""
    return _fits(
        lambda: trial(config, factory.model(config, random=True), config.batch_size, pools.names),
        config.runtime.device,
    )


def _encodes(run: Prepared, batch_size: int) -> bool:
    runtime = run.resolved.config.runtime
    side = run.model.image_size

    def encode() -> None:
        with torch.inference_mode(), runtime.autocast():
            run.model.network.encode_image(torch.zeros(batch_size, 3, side, side, device=runtime.device))

    return _fits(encode, runtime.device)


def _fits(work: Callable[[], object], device: str) -> bool:
    try:
        work()
    except FomoError:  # a part refuses so few rows
        return False
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    finally:
        _collect(device)
    return True


def release(run: Prepared) -> None:
    """Give back what the run has on its device: weights, gradients, what its method keeps."""
    run.methods.parts.clear()
    run.model.network.zero_grad()
    run.model.network.to_empty(device="meta")
    _collect(run.resolved.config.runtime.device)


def _collect(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def available(device: str) -> int:
    """Bytes that the process may have on the device: what it has, and what is free. On a CPU, all that there is."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return min([physical, *(limit for limit in limits if limit != resource.RLIM_INFINITY)])
