"""From a configuration to its plan: rehearses the method at every batch size, then divides the budget."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from open_clip.model import CLIP

from fomo.batch import Batch
from fomo.budget.cost import Cost, of_all_sizes
from fomo.budget.plan import Memory, Recomputed, StepPlan, check_rungs, plan, typed_in
from fomo.config import factory
from fomo.config.schema import Config
from fomo.errors import FomoError
from fomo.model.clip import ClipModel
from fomo.planning.blank import blank_batch, blank_forms, blank_task
from fomo.planning.reference import full_fine_tuning
from fomo.planning.rehearsal import rehearse
from fomo.planning.shape import StreamShape
from fomo.stream.definition import NO_NAMES, StreamNames
from fomo.stream.mixture import Counts, batch_counts, first_task_counts
from fomo.system.determinism import deterministic, refused
from fomo.system.devices import synchronize
from fomo.system.digest import json_digest
from fomo.system.memory_fault import is_out_of_memory
from fomo.system.ranks import alone, largest_of, world
from fomo.training.nonfinite import check_rewindable
from fomo.training.step import Learner

TRIED_STEPS = 4
COUNTED_TWICE = "FLOPs include what is computed twice"
"""The caveat of a ledger whose method cannot be rehearsed, and which computes some things twice to save memory."""
OF_ONE_RANK = "FLOPs are those of one of several ranks"
"""The caveat of a ledger whose method cannot be rehearsed, and whose steps several processes take together."""


def stream_shape(
    config: Config,
    model: ClipModel,
    num_samples: Sequence[int],
    size: int | None = None,
    names: StreamNames = NO_NAMES,
) -> StreamShape:
    """What tasks and batches look like to a rehearsal.

    Args:
        config: Says how batches are mixed.
        model: Says how large images are.
        num_samples: |D_t| of every task.
        size: Rows of a batch; ``None``: ``batch_size``.
        names: What a part may ask of a task: its datasets and concepts.
    """
    rows = size or config.batch_size
    return StreamShape(model.image_size, lambda task: _kinds(config, rows, task), num_samples, config.seed, names)


def _kinds(config: Config, size: int, task: int) -> list[Counts]:
    """The counts of P, D and B that a batch of ``size`` may have in a task."""
    weights = config.mixture
    counts = batch_counts(size, weights)
    counts = first_task_counts(counts) if task == 1 else counts
    if weights.batches == "mixed":
        return [counts]
    whole = [(size, 0, 0), (0, size, 0), (0, 0, size)]
    return [kind for kind, count in zip(whole, counts, strict=True) if count]


def rehearsed(config: Config, model: ClipModel, num_samples: Sequence[int], names: StreamNames = NO_NAMES) -> Cost:
    """What the configured method costs on a model: one cost for all batch sizes of the run.

    It is the method's own: whatever ``runtime`` says, the whole batch is encoded at once, and every activation kept.

    Args:
        config: Says which method, in whose precision on a GPU.
        model: Its network may be on the meta device; it is not changed.
        num_samples: |D_t| of every task.
        names: Datasets and concepts of every task.

    Raises:
        FomoError: a hook can be neither rehearsed nor asked for its FLOPs.
    """
    with alone():
        return _cost(config, model, num_samples, names, _keeping_activations)


_costs: dict[str, Cost] = {}
"""Costs that this process has found, of our own code alone: that of others may have changed since."""
FREE_OF_COST = (
    *("seed", "num_tasks", "stream", "buffer", "captions", "augmentation", "evaluation", "budget", "schedule"),
    *("meta_schedule", "run", "checkpoint", "resume", "on_nan", "rewind_every", "label"),
)
"""Keys of the configuration that a rehearsal does not look at: tasks and D_t it is given."""


def _known_by(config: Config, network: CLIP, *more: Any) -> str:
    """A digest of everything that a cost depends on, the code aside."""
    keys = [f"{each.name}={getattr(config, each.name)}" for each in fields(config) if each.name not in FREE_OF_COST]
    shapes = [[name, str(each.dtype), list(each.shape)] for name, each in network.state_dict().items()]
    return json_digest([keys, repr(network), shapes, repr(more)])


def _is_built_in(config: Config) -> bool:
    """Whether all of the model, the method and the optimizer is code that comes with the benchmark, or torch's own."""
    parts = [type(part).__module__ for part in factory.methods(config).parts.values()]
    targets = [config.model["_target_"], config.optimizer["_target_"]]
    return {name.split(".")[0] for name in (*parts, *targets)} <= {"fomo", "methods", "torch"}


def _cost(
    config: Config,
    model: ClipModel,
    num_samples: Sequence[int],
    names: StreamNames,
    maker: Callable[[Config, CLIP], Callable[[], Learner]],
) -> Cost:
    """One cost from a rehearsal at every batch size, of what ``maker`` has made; of our own code, found once."""
    key = _known_by(config, model.network, list(num_samples), names, maker.__name__, world())
    is_built_in = _is_built_in(config)
    if is_built_in and key in _costs:
        return _costs[key]
    make = maker(config, model.network)
    shapes = {size: stream_shape(config, model, num_samples, size, names) for size in config.sizes.distinct}
    mixed = config.runtime.mixed_on_gpu
    cost = of_all_sizes({size: rehearse(make, shape, mixed) for size, shape in shapes.items()})
    if is_built_in:
        _costs[key] = cost
    return cost


def plan_run(
    config: Config,
    model: ClipModel,
    num_samples: Sequence[int],
    kept_steps: tuple[int, ...] | None = None,
    names: StreamNames = NO_NAMES,
) -> StepPlan:
    """Steps of every task, and whether the configuration goes with them.

    Args:
        config: Says which method, and its budget.
        model: What is trained; it is not changed.
        num_samples: |D_t| of every task.
        kept_steps: The steps of a run that goes on: a budget of seconds would be timed anew without them.
        names: Datasets and concepts of every task.

    Raises:
        FomoError: a task would get less than one step; a hook can be neither rehearsed nor asked for its FLOPs; a
            batch size is never reached, or affords no step; steps that are made again would overspend; a step of the
            method needs an operation that has no deterministic algorithm on the GPU.
    """
    if kept_steps is not None and config.budget.unit == "wall_seconds":
        planned = StepPlan(config.budget, kept_steps, sizes=config.sizes)
        planned = _try_to_tell_recomputed(planned, config, model, num_samples, names)
    else:
        planned = _planned(config, model, num_samples, names)
    if config.on_nan == "rewind":
        check_rewindable(planned)
    if config.runtime.compile or (kept_steps is None and config.runtime.device.startswith("cuda")):
        try_on_device(config, model, names)
    config.sizes.check_reached(sum(planned.steps))
    check_rungs(planned)
    return planned


def try_on_device(config: Config, model: ClipModel, names: StreamNames) -> None:
    """Take a few steps on a copy of the model, so that what cannot be deterministic is known before the first one.

    What the run computes compiled is compiled here, as one process does once: blocks at all sizes of batches and all
    lengths of text.

    Raises:
        FomoError: the device has no deterministic algorithm for an operation.
    """
    copied = replace(model, network=copy.deepcopy(model.network))
    compiles = config.runtime.compile is not None
    try:
        with deterministic(compiles and config.runtime.deterministic):  # without, all is compiled again in the run
            trial(config, copied, max(config.sizes.distinct), names, of_all_forms=compiles)
    except RuntimeError as error:
        if found := refused(error):
            raise found from None
        if not is_out_of_memory(error):  # which the run explains, with a size that fits
            raise


def _planned(config: Config, model: ClipModel, num_samples: Sequence[int], names: StreamNames) -> StepPlan:
    budget = config.budget
    if not budget.needs_rehearsal:
        timed = config.sizes.distinct if budget.unit == "wall_seconds" else ()
        measured = [_seconds_per_step(config, model, size, names) for size in timed]
        seconds = dict(zip(timed, largest_of(measured), strict=True))  # no rank is faster than the slowest
        planned = typed_in(budget, config.num_tasks, config.sizes, seconds)
        return _try_to_tell_recomputed(planned, config, model, num_samples, names)
    cost = rehearsed(config, model, num_samples, names)
    memory = Memory(cost.peak_bytes, reference_bytes(config, model), config.runtime.planned_precision)
    planned = plan(budget, cost, memory, config.sizes)
    return replace(planned, recomputed=_recomputed(cost, config, model, num_samples, names))


def _recomputed(
    cost: Cost, config: Config, model: ClipModel, num_samples: Sequence[int], names: StreamNames
) -> Recomputed | None:
    """Beside the cost, what this rank computes as ``runtime`` has it; ``None`` where that is the same."""
    if not (config.runtime.recomputes or world().size > 1):
        return None
    return Recomputed(cost, _cost(config, model, num_samples, names, _as_it_runs))


def _try_to_tell_recomputed(
    planned: StepPlan, config: Config, model: ClipModel, num_samples: Sequence[int], names: StreamNames
) -> StepPlan:
    """The plan of a budget that is not one of FLOPs, whose ledger counts some all the same."""
    if not (config.runtime.recomputes or world().size > 1):
        return planned
    try:
        cost = rehearsed(config, model, num_samples, names)
        return replace(planned, recomputed=_recomputed(cost, config, model, num_samples, names))
    except FomoError:  # which is no fault where steps are typed in
        what = OF_ONE_RANK if world().size > 1 else COUNTED_TWICE
        return replace(planned, caveats=(*planned.caveats, what))


_references: dict[str, int] = {}
"""Peaks of full fine-tuning that this process has found: the same for every method and seed."""


def reference_bytes(config: Config, model: ClipModel) -> int:
    """Peak of full fine-tuning of all rows at once, every activation kept, at the largest batch of the run."""
    size = max(config.sizes.distinct)
    mixed = config.runtime.mixed_on_gpu
    key = json_digest([config.model, repr(model.network), size, mixed])
    if key not in _references:
        shape = stream_shape(config, model, [1], size)
        with alone():
            cost = full_fine_tuning(_keeping_activations(config, model.network), shape, mixed)
        _references[key] = cost.peak_bytes
    return _references[key]


def _as_it_runs(config: Config, network: CLIP) -> Callable[[], Learner]:
    """Makes learners that compute as ``runtime`` says."""
    return partial(factory.learner, config, network)


def _keeping_activations(config: Config, network: CLIP) -> Callable[[], Learner]:
    """Makes learners that encode the whole batch at once and keep every activation; the network is not changed."""
    if not config.runtime.recomputes:
        return _as_it_runs(config, network)
    copied = copy.deepcopy(network)
    copied.set_grad_checkpointing(False)
    return lambda: replace(factory.learner(config, copied), micro_batch=None)


def _seconds_per_step(config: Config, model: ClipModel, size: int, names: StreamNames) -> float:
    """Time of a step on the device at hand: the fastest of a few on a copy of the model."""
    seconds = trial(config, replace(model, network=copy.deepcopy(model.network)), size, names)
    return min(seconds, default=config.budget.total / config.num_tasks)  # without steps, any number will do


def trial(
    config: Config, model: ClipModel, size: int, names: StreamNames = NO_NAMES, of_all_forms: bool = False
) -> list[float]:
    """Seconds of a few real steps on a blank batch; none where nothing is trained. The model is changed.

    Whatever is drawn for them, what comes after draws what it would have drawn without.

    Args:
        config: Says which method, on which device.
        model: What the steps are taken on.
        size: Rows of the batch, and of D_t.
        names: Datasets and concepts of every task.
        of_all_forms: Take one more with each form that a batch of the run may have.
    """
    device = config.runtime.device
    learner = factory.learner(config, model.network)
    task = blank_task(config, model, learner, 1, TRIED_STEPS, size, names)
    gpus = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(gpus), TemporaryDirectory() as folder:
        learner.methods.work_in(Path(folder))
        learner.methods.begin_run(model.network, config.seed)
        learner.methods.each("begin_task", model.network, task)
        optimizer = learner.optimizer()
        if optimizer is None:
            return []
        batches = [blank_batch(model, device, _kinds(config, size, 1)[0])] * TRIED_STEPS
        learner.train_mode()
        forms = blank_forms(model, device, config.sizes.distinct) if of_all_forms else ()
        seconds = [_timed(learner, optimizer, batch, device) for batch in chain(batches, forms)]
        learner.close()
        return seconds


def _timed(learner: Learner, optimizer: torch.optim.Optimizer, batch: Batch, device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    learner.step(optimizer, batch)
    synchronize(device)
    return time.perf_counter() - start
