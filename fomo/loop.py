"""The update loop: what a run does, on one page. Roth et al. 2024, arXiv 2408.14471; hooks: :class:`fomo.Method`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch

from fomo.batch import Batch
from fomo.budget.flops import unmetered
from fomo.budget.ledger import Ledger
from fomo.method import Task
from fomo.model.clip import train_mode
from fomo.system.memory_fault import during
from fomo.training.loader import Batches
from fomo.training.nonfinite import Guard
from fomo.training.record import Record
from fomo.training.step import Learner, seed_layers

LearningRate = Callable[[int, int, int], float]
"""``learning_rate(task, step, num_steps)``, tasks from 1, steps from 0."""


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
