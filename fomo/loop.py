"""The update loop: what a run does, on one page. Roth et al. 2024, arXiv 2408.14471; hooks: :class:`fomo.Method`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fomo import rng
from fomo.budget.flops import Meter, unmetered
from fomo.budget.ledger import Ledger
from fomo.method import Batch, Features, Methods, Task
from fomo.model.clip import train_mode
from fomo.system.memory_fault import during
from fomo.training.loader import Batches
from fomo.training.micro_batches import MicroBatches, with_scale
from fomo.training.nonfinite import Guard, Judge
from fomo.training.record import Record

MakeOptimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]
LearningRate = Callable[[int, int, int], float]
"""``learning_rate(task, step, num_steps)``, tasks from 1, steps from 0."""


@dataclass(frozen=True)
class Learner:
    """What takes the steps: the same code in a run and in the rehearsal that plans it."""

    network: nn.Module
    methods: Methods
    make_optimizer: MakeOptimizer
    max_grad_norm: float
    max_logit_scale: float | None
    autocast: Callable[[], AbstractContextManager[None]]
    micro_batch: int | None = None

    def optimizer(self) -> torch.optim.Optimizer | None:
        """A fresh optimizer over what the method trains; ``None`` if that is nothing."""
        named = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        with self.methods.meter("optimizer"):
            return self.make_optimizer(named) if named else None

    def step(
        self, optimizer: torch.optim.Optimizer, batch: Batch, meter: Meter, judge: Judge | None = None
    ) -> tuple[Tensor, Tensor]:
        """One optimizer step, if ``judge`` lets it; its loss and gradient norm. ``meter`` hears the phases."""
        network, methods = self.network, self.methods
        methods.meter = meter
        with meter("optimizer"):
            optimizer.zero_grad()
        small = self._micro_batches(batch)
        before = small.features(network, batch, meter) if small else None
        with parametrize.cached():
            with self.autocast():
                with meter("forward"):
                    compute_parametrizations(network)
                    features = with_scale(network, before) if before else encode(network, batch)
                    loss = symmetric_loss(features)
                loss = methods.loss(network, replace(batch, features=features), loss)
            with meter("backward"):
                loss.backward()
        if small:
            small.backward(network, batch, features, meter)
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self.max_grad_norm)
        if judge and not judge(loss, norm):
            return loss, norm
        methods.after_backward(network)
        with meter("optimizer"):
            optimizer.step()
        clamp_temperature(network, self.max_logit_scale)
        methods.after_step(network)
        return loss, norm

    def _micro_batches(self, batch: Batch) -> MicroBatches | None:
        """How to encode a batch that is larger than ``micro_batch``."""
        if self.micro_batch is None or len(batch.images) <= self.micro_batch:
            return None
        return MicroBatches(self.micro_batch, encode_computed, self.autocast)


class Place(NamedTuple):
    """How far a run is: ``steps`` steps of ``task`` (from 1) are made, ``None`` if it is ended and evaluated; task 0 is
    the evaluation before any update."""

    task: int
    steps: int | None = None

    def __str__(self) -> str:
        if self.steps is not None:
            return f"task {self.task} after {self.steps} steps"
        return f"task {self.task}, evaluated" if self.task else "the evaluation of the base model"


class Keeper:
    """Keeps the state of a run on the way. This one keeps nothing and starts at the beginning."""

    start: Place | None = None
    """How far the run was when it was left; the state between tasks is loaded already."""

    def resume(self, task: Task) -> torch.optim.Optimizer | None:
        """Begin ``task`` and load what was left inside of it; its optimizer."""
        raise NotImplementedError

    def save(self, place: Place, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Keep the state at ``place``."""

    def after_step(self, place: Place, optimizer: torch.optim.Optimizer) -> None:
        """Keep the state if it is time to."""

    def awaited(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; whatever ends the wait for one, the steps made before it are kept."""
        return batches

    def whole_steps(self) -> AbstractContextManager[None]:
        """While open, nothing interrupts a step."""
        return nullcontext()


@dataclass(frozen=True)
class Experiment:
    """Everything that a run is made of."""

    seed: int
    learner: Learner
    batches: Batches
    learning_rate: LearningRate
    evaluate: Callable[[int], None]
    keeper: Keeper = field(default_factory=Keeper)
    guard: Guard = field(default_factory=Guard)


def run(experiment: Experiment, ledger: Ledger, record: Record) -> None:
    """Evaluate, then update and evaluate task by task. The method has begun the run already."""
    network, methods, keeper = experiment.learner.network, experiment.learner.methods, experiment.keeper
    if keeper.start is None:
        experiment.evaluate(0)
        keeper.save(Place(0))
    for task in tasks(experiment, ledger):
        optimizer, step = begin(experiment, task, ledger)
        with keeper.whole_steps():
            train(experiment, task, ledger, record, optimizer, step)
            keeper.save(Place(task.number, task.num_steps), optimizer)
        seed_layers(experiment.seed, task.number, "end")
        with ledger.hooks(task.number, "end") as methods.meter, during("hook", task.number):
            methods.end_task(network, task)
            with methods.deployed(network):
                experiment.evaluate(task.number)
        methods.meter = unmetered
        keeper.save(Place(task.number))


def begin(experiment: Experiment, task: Task, ledger: Ledger) -> tuple[torch.optim.Optimizer | None, int]:
    """The optimizer of a task, and its next step: a task that was left is gone on with, its begin charged already."""
    learner, start = experiment.learner, experiment.keeper.start
    if start and start.task == task.number and start.steps is not None:
        return experiment.keeper.resume(task), start.steps
    seed_layers(experiment.seed, task.number, "begin")
    with ledger.hooks(task.number, "begin") as learner.methods.meter, during("hook", task.number):
        learner.methods.begin_task(learner.network, task)
        return learner.optimizer(), 0


def tasks(experiment: Experiment, ledger: Ledger) -> Iterator[Task]:
    """The update steps that the budget plans, without those that are ended and evaluated already."""
    seed, batches, autocast = experiment.seed, experiment.batches, experiment.learner.autocast
    start = experiment.keeper.start or Place(0)
    for number, num_steps in enumerate(ledger.planned_steps, start=1):
        if number < start.task or (number == start.task and start.steps is None):
            continue
        once, num_samples = partial(batches.once, number), batches.num_update_samples(number)
        yield Task(number, len(ledger.planned_steps), num_steps, seed, num_samples, once, autocast)


def train(
    experiment: Experiment,
    task: Task,
    ledger: Ledger,
    record: Record,
    optimizer: torch.optim.Optimizer | None,
    start: int = 0,
) -> None:
    """The optimizer steps of one task from ``start`` on. A method that trains nothing takes none."""
    learner = experiment.learner
    if optimizer is None:
        return
    train_mode(learner.network)
    batches = experiment.batches.of_task(task.number, task.num_steps, start)
    for step, batch in enumerate(experiment.keeper.awaited(batches), start):
        rate = experiment.learning_rate(task.number, step, task.num_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        seed_layers(experiment.seed, task.number, step)
        with during("step", task.number, step), experiment.guard.step(task.number, step, optimizer) as judge:
            with ledger.step(task.number, step, batch) as meter:
                loss, norm = learner.step(optimizer, batch, meter, judge)
            record.step(task.number, step, loss, norm, rate, len(batch.images), judge.note)
        experiment.keeper.after_step(Place(task.number, step + 1), optimizer)
    record.flush()


def seed_layers(*keys: rng.Key) -> None:
    """Dropout and stochastic depth draw from torch's own generator: each step and hook has a stream of its own."""
    torch.manual_seed(rng.fold("layers", *keys) % 2**63)


def compute_parametrizations(network: nn.Module) -> None:
    """Fill the cache before the layers do: a checkpointed layer must find the same in its second computation."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:  # type: ignore[union-attr]
                getattr(module, name)


def encode(network: nn.Module, batch: Batch) -> Features:
    """Both towers on a batch."""
    return Features(*network(batch.images, batch.tokens)[:3])


def encode_computed(network: nn.Module, batch: Batch) -> Features:
    """The same, adapted weights first."""
    compute_parametrizations(network)
    return encode(network, batch)


def contrastive(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of image to text and of text to image over the batch, halved (CLIP, arXiv 2103.00020)."""
    return symmetric_loss(encode(network, batch))


def symmetric_loss(features: Features) -> Tensor:
    """The same from features; the two directions share one product, as in the published FLOPs."""
    logits = features.scale * features.images @ features.texts.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


@torch.no_grad()
def clamp_temperature(network: nn.Module, largest: float | None) -> None:
    """Keep exp(logit_scale) at ``largest`` at most; ``None`` leaves it free, as the reference does."""
    if largest is not None:
        network.get_parameter("logit_scale").clamp_(max=float(torch.tensor(largest).log()))
