"""What the job asks for, found by trying it: the parts are built, loaded from and trained as `fomo run` does it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch

from fomo.batch import Batch
from fomo.budget.cost import Cost
from fomo.budget.flops import charged
from fomo.config import factory
from fomo.config.schema import Resolved, resolve
from fomo.doctor.facts import JobFacts
from fomo.doctor.room import PREFETCHED
from fomo.errors import FomoError
from fomo.model.clip import ClipModel
from fomo.model.sources import without_warnings
from fomo.planning.planner import stream_shape, trial
from fomo.planning.rehearsal import rehearse
from fomo.running.prepared import Prepared
from fomo.running.run import prepare
from fomo.system.control_groups import process_bytes
from fomo.system.determinism import deterministic, refused
from fomo.system.devices import synchronize
from fomo.training.loader import Batches

LONGEST_STEP = 5.0
"""Seconds: a step that takes longer by its FLOPs is not tried."""
LONGEST_LOADING = 10.0
"""Seconds after which no further batch is waited for."""
SOME_STEPS = 100
"""Of each task, for a job whose number of steps is not known before they are timed."""


@dataclass(frozen=True)
class MachineBounds:
    """What the machine has."""

    memory_bytes: int
    """Available to the process: a step that takes more is not tried."""
    flops_per_second: float
    """Of a matrix product, by which the time of a step is estimated before it is tried."""


def job_facts(resolved: Resolved, bounds: MachineBounds) -> JobFacts:
    """Build the job without its downloaded weights, rehearse it, load some batches, take some steps.

    Raises:
        FomoError: `fomo run` would refuse the job.
    """
    resolved = _random_weights(resolved)
    budget = resolved.config.budget
    with without_warnings(), deterministic(resolved.config.runtime.deterministic):
        # A budget of seconds would be timed here, before it is known whether a step fits.
        job = _tried(prepare(resolved, kept_steps=(SOME_STEPS,) * resolved.config.num_tasks), bounds)
    if budget.unit == "wall_seconds" and job.step_seconds:
        return replace(job, num_steps=int(budget.total / job.step_seconds))
    return job


def _tried(prepared: Prepared, bounds: MachineBounds) -> JobFacts:
    job = _asked(prepared)
    try:
        cost, model = _rehearsed(prepared)
    except FomoError as error:
        return replace(job, untried=f"{error}")
    job = replace(job, peak_bytes=cost.peak_bytes)
    if not sum(prepared.plan.steps):
        return job
    job = replace(job, loading_seconds=_loading_seconds(prepared))
    return _stepped(job, prepared, model, cost, bounds)


def _random_weights(resolved: Resolved) -> Resolved:
    """The job with random weights in place of those that would have to be downloaded."""
    model = {key: None if key == "pretrained" else value for key, value in resolved.values["model"].items()}
    return resolve({**resolved.values, "model": model})


def _asked(prepared: Prepared) -> JobFacts:
    config = prepared.resolved.config
    weights = prepared.model.network.state_dict()
    length = prepared.model.network.context_length
    side = prepared.model.image_size
    return JobFacts(
        label=f"{config.label} on {prepared.model.name}",
        device=config.runtime.device,
        num_workers=config.runtime.num_workers,
        num_datasets=len(prepared.stream.datasets),
        batch_size=config.batch_size,
        batch_bytes=config.batch_size * (3 * side * side + 8 * length),
        weights_bytes=sum(value.numel() * value.element_size() for value in weights.values()),
        process_bytes=process_bytes(),
        peak_bytes=None,
        checkpoint_minutes=config.checkpoint.every_minutes,
        num_steps=sum(prepared.plan.steps),
    )


def _rehearsed(prepared: Prepared) -> tuple[Cost, ClipModel]:
    """The cost in the precision of this device (a budget is planned in a GPU's), and the model anew."""
    config = prepared.resolved.config
    model = factory.model(config, random=True)
    pools = prepared.maker.pools
    shape = stream_shape(config, model, pools.update_sizes, names=pools.names)
    make = partial(factory.learner, config, model.network)
    return rehearse(make, shape, mixed_precision=config.runtime.precision == "bf16"), model


def _stepped(job: JobFacts, prepared: Prepared, model: ClipModel, cost: Cost, bounds: MachineBounds) -> JobFacts:
    """The job with the seconds of a step: the fastest of a few, or what its FLOPs take at the rate of a matrix product.

    Args:
        job: what is known so far.
        prepared: the same, built.
        model: a fresh one, which is trained.
        cost: of the job.
        bounds: what the machine has.
    """
    if job.device == "cpu" and cost.peak_bytes > bounds.memory_bytes:
        return replace(job, untried="there is too little memory.")
    job = replace(job, step_flops=charged(cost.tasks[-1].ordinary or {}))
    by_flops = job.step_flops / bounds.flops_per_second
    if by_flops > LONGEST_STEP:
        return replace(job, step_seconds=by_flops, estimated=True)
    config = prepared.resolved.config
    try:
        names = prepared.maker.pools.names
        seconds = trial(config, model, config.batch_size, names)
    except torch.OutOfMemoryError as error:
        return replace(job, untried=str(error).splitlines()[0])
    except RuntimeError as error:
        raise refused(error) or error from None
    return replace(job, step_seconds=min(seconds, default=None))


def _loading_seconds(prepared: Prepared) -> float:
    """Seconds of a batch through the run's own loader, in the last task, which draws from all three pools."""
    runtime = prepared.resolved.config.runtime
    task = max(number for number, steps in enumerate(prepared.plan.steps, start=1) if steps)
    ready = 1 + PREFETCHED * runtime.num_workers
    num_steps = min(prepared.plan.steps[task - 1], 2 * ready + 3)
    batches = Batches(prepared.maker, prepared.model, runtime).of_task(task, num_steps)
    return seconds_per_batch(batches, ready, runtime.device)


def seconds_per_batch(batches: Iterator[Batch], ready: int, device: str) -> float:
    """Seconds of a batch, the first ``ready`` left out: they are made while workers start.

    If no other batches come, or not in time, those count.
    """
    begun = time.perf_counter()
    started = begun
    number = 0
    for number, _ in enumerate(islice(batches, 2 * ready + 3), start=1):
        if number == ready:
            synchronize(device)
            started = time.perf_counter()
        if time.perf_counter() - begun > LONGEST_LOADING:
            break
    synchronize(device)
    ended = time.perf_counter()
    return (ended - started) / (number - ready) if number > ready else (ended - begun) / max(number, 1)
