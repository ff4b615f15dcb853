"""From a configuration to its plan: builds the parts anew, rehearses them, divides the budget."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from fomo.batch import Batch
from fomo.budget.cost import Cost, of_all_sizes
from fomo.budget.flops import unmetered
from fomo.budget.plan import Memory, Plan, plan, typed_in
from fomo.config.parts import build
from fomo.config.plugins import check_method
from fomo.config.schema import Config
from fomo.method import Method, Task
from fomo.model.clip import ClipModel, checkpoint_activations, train_mode
from fomo.planning.rehearsal import Setting, full_fine_tuning, rehearse
from fomo.stream.mixture import Counts, batch_counts, first_task_counts
from fomo.stream.pools import StreamPools
from fomo.system.devices import synchronize
from fomo.training.methods import Methods
from fomo.training.step import Learner, MakeOptimizer

PARTS = ("trainable", "regularizer", "merging")
TRIED_STEPS = 4


def parts_of(config: Config) -> dict[str, Method]:
    """Fresh parts of the configured method, in the order in which their hooks are called.

    Raises:
        FomoError: a part is no ``fomo.Method``, or has hooks that cannot be called.
    """
    parts = {part: build(part, getattr(config, part), config.runtime.allow_targets) for part in PARTS}
    for name, part in parts.items():
        check_method(type(part), f"{name}._target_ = {getattr(config, name)['_target_']}")
    return parts


def make_optimizer(config: Config) -> MakeOptimizer:
    """Makes a fresh optimizer over named parameters."""
    make: MakeOptimizer = build("optimizer", config.optimizer, config.runtime.allow_targets)
    return make


def learner_of(config: Config, network: nn.Module, methods: Methods) -> Learner:
    """What takes the steps of a run, on the device at hand."""
    make, autocast = make_optimizer(config), config.runtime.autocast
    limits = (config.max_grad_norm, config.max_logit_scale)
    return Learner(network, methods, make, *limits, autocast, config.runtime.micro_batch)


def setting_of(config: Config, model: ClipModel, num_samples: Sequence[int], size: int | None = None) -> Setting:
    """What is rehearsed: the configured method on the model, with |D_t| = ``num_samples`` of each task.

    All batches have ``size``, by default the configured one.
    """
    return Setting(
        network=model.network,
        make_parts=partial(parts_of, config),
        make_optimizer=make_optimizer(config),
        max_grad_norm=config.max_grad_norm,
        max_logit_scale=config.max_logit_scale,
        mixed_precision=config.runtime.mixed_on_gpu,
        image_size=model.image_size,
        kinds=partial(_kinds, config, size or config.batch_size),
        num_samples=num_samples,
        seed=config.seed,
        micro_batch=config.runtime.micro_batch,
    )


def _kinds(config: Config, size: int, task: int) -> list[Counts]:
    """The counts of P, D and B that a batch of ``size`` may have in a task."""
    weights = config.mixture
    counts = batch_counts(size, weights)
    counts = first_task_counts(counts) if task == 1 else counts
    if weights.batches == "mixed":
        return [counts]
    whole = [(size, 0, 0), (0, size, 0), (0, 0, size)]
    return [kind for kind, count in zip(whole, counts, strict=True) if count]


def rehearse_sizes(config: Config, setting: Callable[[int], Setting]) -> Cost:
    """Rehearse what ``setting`` gives at every batch size of the run: one cost for all."""
    return of_all_sizes({size: rehearse(setting(size)) for size in config.sizes.distinct})


def plan_run(config: Config, model: ClipModel, num_samples: Sequence[int]) -> Plan:
    """Steps of every task.

    Raises:
        FomoError: a task would get less than one step; a hook can be neither rehearsed nor asked for its FLOPs.
    """
    budget = config.budget
    if not budget.needs_rehearsal:
        timed = config.sizes.distinct if budget.unit == "wall_seconds" else ()
        seconds = {size: _seconds_per_step(config, model, num_samples, size) for size in timed}
        return typed_in(budget, config.num_tasks, config.sizes, seconds)
    setting = partial(setting_of, config, model, num_samples)
    cost, reference = rehearse_sizes(config, setting), reference_bytes(config, setting)
    return plan(budget, cost, Memory(cost.peak_bytes, reference), config.sizes)


def reference_bytes(config: Config, setting: Callable[[int], Setting]) -> int:
    """Peak of full fine-tuning without checkpointing, at the largest batch of the run."""
    return full_fine_tuning(without_checkpointing(setting(max(config.sizes.distinct)))).peak_bytes


def without_checkpointing(setting: Setting) -> Setting:
    """The same model keeping every activation, of the whole batch."""
    network = copy.deepcopy(setting.network)
    checkpoint_activations(network, False)
    return replace(setting, network=network, micro_batch=None)


def without_recomputation(config: Config, model: ClipModel, planned: Plan, pools: StreamPools) -> int:
    """FLOPs of the run, had it kept every activation: what MFU counts."""
    setting = partial(setting_of, config, model, pools.update_sizes)
    cost = rehearse_sizes(config, lambda size: without_checkpointing(setting(size)))
    unchecked = replace(planned, cost=cost)
    return sum(map(unchecked.flops, range(1, len(planned.steps) + 1)))


def _seconds_per_step(config: Config, model: ClipModel, num_samples: Sequence[int], size: int) -> float:
    """Time of a step on the device at hand: the fastest of a few on a copy of the model."""
    seconds = trial(config, replace(model, network=copy.deepcopy(model.network)), num_samples, size)
    return min(seconds, default=config.budget.total / config.num_tasks)  # without steps, any number will do


def measure(config: Config) -> int:
    """Bytes at the peak of a few real steps with random weights on the GPU, as its allocator tells them."""
    model = fresh_model(config)
    torch.cuda.reset_peak_memory_stats(config.runtime.device)
    size = max(config.sizes.distinct)
    trial(config, model, [size] * config.num_tasks, size)
    return torch.cuda.max_memory_allocated(config.runtime.device)


def fresh_model(config: Config) -> ClipModel:
    """The configured model on its device; with random weights where the real ones are not shipped."""
    shape = {key: None if key == "pretrained" else value for key, value in config.model.items()}
    model: ClipModel = build("model", shape, config.runtime.allow_targets)
    checkpoint_activations(model.network, config.runtime.grad_checkpointing)
    model.network.to(config.runtime.device)
    return model


def trial(config: Config, model: ClipModel, num_samples: Sequence[int], size: int) -> list[float]:
    """Seconds of a few real steps on a blank batch; none where nothing is trained. The model is changed."""
    network, methods = model.network, Methods(parts_of(config))
    learner = learner_of(config, network, methods)
    methods.begin_run(network, config.seed)
    methods.begin_task(network, Task(1, config.num_tasks, TRIED_STEPS, config.seed, num_samples[0]))
    optimizer, batch = learner.optimizer(), _blank_batch(config, model, size)
    train_mode(network)
    return [_timed(learner, optimizer, batch, config.runtime.device) for _ in range(TRIED_STEPS)] if optimizer else []


def _timed(learner: Learner, optimizer: torch.optim.Optimizer, batch: Batch, device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    learner.step(optimizer, batch, unmetered)
    synchronize(device)
    return time.perf_counter() - start


def _blank_batch(config: Config, model: ClipModel, size: int) -> Batch:
    counts = _kinds(config, size, 1)[0]
    images = torch.zeros(size, 3, model.image_size, model.image_size, device=config.runtime.device)
    length: int = model.network.context_length
    return Batch(images, torch.zeros(size, length, dtype=torch.long, device=images.device), counts)
