"""What the job asks for, and its real loading and training, tried: parts are built as `fomo run` builds them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch

from fomo.batch import Batch
from fomo.budget.cost import Cost
from fomo.budget.flops import charged
from fomo.config.schema import Config, Resolved, resolve
from fomo.doctor.facts import Job
from fomo.doctor.limits import process_bytes
from fomo.doctor.room import PREFETCHED
from fomo.errors import FomoError
from fomo.model.clip import ClipModel
from fomo.model.sources import without_warnings
from fomo.planning.planner import fresh_model, setting_of, trial
from fomo.planning.rehearsal import rehearse
from fomo.running.prepared import Prepared, prepare
from fomo.system.usage import synchronize
from fomo.training.loader import Batches

LONGEST_STEP = 5.0
"""Seconds: a step that takes longer by its FLOPs is not tried."""
LONGEST_LOADING = 10.0
SOME_STEPS = 100


@dataclass(frozen=True)
class Bounds:
    """What the machine has: the job is not tried where it would take more."""

    memory_bytes: int
    flops_per_second: float


def measured(resolved: Resolved, bounds: Bounds) -> Job:
    """Build the job without its downloaded weights, rehearse it, load some batches, take some steps.

    Raises:
        FomoError: `fomo run` would refuse the job.
    """
    resolved = _random_weights(resolved)
    budget = resolved.config.budget
    with without_warnings():
        # A budget of seconds would be timed here, before it is known whether a step fits.
        job = _measured(prepare(resolved, kept_steps=(SOME_STEPS,) * resolved.config.num_tasks), bounds)
    if budget.unit == "wall_seconds" and job.step_seconds:
        return replace(job, num_steps=int(budget.total / job.step_seconds))
    return job


def _measured(prepared: Prepared, bounds: Bounds) -> Job:
    job = _asked(prepared)
    try:
        cost, model = _rehearsed(prepared)
    except FomoError as error:
        return replace(job, untried=f"{error}")
    job = replace(job, peak_bytes=cost.peak_bytes)
    if not sum(prepared.plan.steps):
        return job
    job = replace(job, loading_seconds=_loading_seconds(prepared))
    return _stepped(job, prepared.resolved.config, model, cost, bounds)


def _random_weights(resolved: Resolved) -> Resolved:
    """The same job with a model that nothing has to be downloaded for."""
    model = {key: None if key == "pretrained" else value for key, value in resolved.values["model"].items()}
    return resolve({**resolved.values, "model": model})


def _asked(prepared: Prepared) -> Job:
    config, state = prepared.resolved.config, prepared.model.network.state_dict()
    length, side = prepared.model.network.context_length, prepared.model.image_size
    return Job(
        label=f"{config.label} on {prepared.model.name}",
        device=config.runtime.device,
        num_workers=config.runtime.num_workers,
        num_datasets=len(prepared.stream.datasets),
        batch_size=config.batch_size,
        batch_bytes=config.batch_size * (3 * side * side + 8 * length),
        weights_bytes=sum(value.numel() * value.element_size() for value in state.values()),
        process_bytes=process_bytes(),
        peak_bytes=None,
        checkpoint_minutes=config.checkpoint.every_minutes,
        num_steps=sum(prepared.plan.steps),
    )


def _rehearsed(prepared: Prepared) -> tuple[Cost, ClipModel]:
    """The cost in the precision of this device (a budget is planned in a GPU's), and the model anew."""
    config, model = prepared.resolved.config, fresh_model(prepared.resolved.config)
    setting = setting_of(config, model, prepared.maker.pools.update_sizes)
    return rehearse(replace(setting, mixed_precision=config.runtime.precision == "bf16")), model


def _stepped(job: Job, config: Config, model: ClipModel, cost: Cost, bounds: Bounds) -> Job:
    """Seconds of a step: the fastest of a few, or what its FLOPs take at the rate of a matrix product."""
    if job.device == "cpu" and cost.peak_bytes > bounds.memory_bytes:
        return replace(job, untried="there is too little memory.")
    by_flops = charged(cost.tasks[-1].ordinary or {}) / bounds.flops_per_second
    if by_flops > LONGEST_STEP:
        return replace(job, step_seconds=by_flops, estimated=True)
    try:
        seconds = trial(config, model, [config.batch_size] * config.num_tasks, config.batch_size)
    except torch.OutOfMemoryError as error:
        return replace(job, untried=str(error).splitlines()[0])
    return replace(job, step_seconds=min(seconds, default=None))


def _loading_seconds(prepared: Prepared) -> float:
    """Seconds of a batch of the last task, in which all three pools are drawn from, through the run's own loader."""
    runtime = prepared.resolved.config.runtime
    task = max(number for number, steps in enumerate(prepared.plan.steps, start=1) if steps)
    ready = 1 + PREFETCHED * runtime.num_workers
    num_steps = min(prepared.plan.steps[task - 1], 2 * ready + 3)
    batches = Batches(prepared.maker, prepared.model, runtime).of_task(task, num_steps)
    return seconds_per_batch(batches, ready, runtime.device)


def seconds_per_batch(batches: Iterator[Batch], ready: int, device: str) -> float:
    """The first ``ready`` batches, made while workers start, are passed over; if there are no others, they count."""
    begun = started = time.perf_counter()
    passed = made = 0
    for number, _ in enumerate(islice(batches, 2 * ready + 3), start=1):
        passed, made = (number, 0) if number <= ready else (passed, made + 1)
        if number == ready:
            synchronize(device)
            started = time.perf_counter()
        if time.perf_counter() - begun > LONGEST_LOADING:
            break
    synchronize(device)
    ended = time.perf_counter()
    return (ended - started) / made if made else (ended - begun) / max(passed, 1)
