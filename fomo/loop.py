"""The update loop: what a run does, on one page. Roth et al. 2024, arXiv 2408.14471; hooks: :class:`fomo.Method`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch

from fomo.batch import Batch
from fomo.budget.flops import Meter, charged
from fomo.budget.held import held
from fomo.budget.ledger import Ledger
from fomo.method import Task, period_of
from fomo.results.record import Record
from fomo.stream.pools import POOLS
from fomo.system.memory_fault import during
from fomo.system.stages import Stages
from fomo.training.finite import check_weights
from fomo.training.loader import Batches
from fomo.training.nonfinite import StepAt, StopRun
from fomo.training.rates import set_rate, tell_pools
from fomo.training.step import Learner, seed_layers

LearningRate = Callable[[int, int, int], float]
"""``learning_rate(task, step, num_steps)``, tasks from 1, steps from 0."""


class RunProgress(NamedTuple):
    """How far a run is: ``steps`` steps of ``task`` (from 1) are made; ``None``: the task is ended and evaluated.

    Task 0 is the evaluation before any update.
    """

    task: int
    steps: int | None = None

    def __str__(self) -> str:
        if self.steps is not None:
            return f"task {self.task} after {self.steps} steps"
        return f"task {self.task}, evaluated" if self.task else "the evaluation of the base model"


class Checkpointer:
    """Keeps the state of a run on the way. This one keeps nothing and starts at the beginning."""

    start: RunProgress | None = None
    """How far the run was when it was left; the state between tasks is loaded already."""

    def resume(self, task: Task) -> torch.optim.Optimizer | None:
        """Begin the ``task`` that :attr:`start` lies in, and load what was left inside of it; its optimizer."""
        return None

    def save(self, progress: RunProgress, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Keep the state at ``progress``."""

    def after_step(self, progress: RunProgress, optimizer: torch.optim.Optimizer) -> None:
        """Keep the state if it is time to."""

    def interruptible(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; whatever ends the wait for one, the steps made before it are kept."""
        return batches

    def whole_steps(self) -> AbstractContextManager[None]:
        """While open, nothing interrupts a step."""
        return nullcontext()


@dataclass(frozen=True)
class Experiment:
    """Everything that a run is made of.

    Args:
        seed: What all randomness of the run is folded from.
        learner: Takes the steps; its method has begun the run already.
        batches: The batches of every task, in order.
        learning_rate: The rate of every step.
        evaluate: Scores the model at hand after so many updates, and writes the scores.
        ledger: Holds the planned steps, and is charged.
        record: Writes the events.
        nonfinite: What becomes of a step that is not finite.
        checkpointer: Keeps the state on the way.
        stages: Times all of it.
        show: Shows how far the run is: after the first evaluation, and after each task but the last.
        every_steps: Within a task, ``evaluate_within`` is called after every so many of its steps; ``None``: never.
        evaluate_within: Scores the model as it is trained, in a task after so many steps, and writes the scores.
        resize: Decides, with what parts have logged at the end of a task, how large the batches of later ones are.
    """

    seed: int
    learner: Learner
    batches: Batches
    learning_rate: LearningRate
    evaluate: Callable[[int], None]
    ledger: Ledger
    record: Record
    nonfinite: StopRun = field(default_factory=StopRun)
    checkpointer: Checkpointer = field(default_factory=Checkpointer)
    stages: Stages = field(default_factory=Stages)
    show: Callable[[], None] = lambda: None
    every_steps: int | None = None
    evaluate_within: Callable[[int, int], None] = lambda task, step: None
    resize: Callable[[int, Mapping[str, float]], None] = lambda task, logged: None

    def charged_in(self, task: int) -> int:
        """FLOPs of a task so far."""
        return charged(self.ledger.phases[task - 1])


def run(experiment: Experiment) -> None:
    """Evaluate, then update and evaluate task by task."""
    network = experiment.learner.network
    methods = experiment.learner.methods
    checkpointer = experiment.checkpointer
    if checkpointer.start is None:
        experiment.evaluate(0)
        checkpointer.save(RunProgress(0))
        experiment.show()
    for task in tasks(experiment):
        optimizer, step = begin(experiment, task)
        with checkpointer.whole_steps():
            train(experiment, task, optimizer, step)
            checkpointer.save(RunProgress(task.number, task.num_steps), optimizer)
        experiment.learner.close()
        with experiment.ledger.hooks(task.number, "end") as meter, during("hook", task.number):
            meter = experiment.stages.over(meter)
            logged = end(experiment, task, meter)
            with methods.deployed(network, meter, partial(check_weights, network, task.number)):
                experiment.evaluate(task.number)
            experiment.record.logged("deployed", task.number, experiment.learner.logged())
        experiment.stages.end_task(experiment.charged_in(task.number))
        experiment.resize(task.number, logged)
        checkpointer.save(RunProgress(task.number))
        if task.number < task.num_tasks:
            experiment.show()


def tasks(experiment: Experiment) -> Iterator[Task]:
    """The tasks that the budget plans, without those that are ended and evaluated already."""
    batches = experiment.batches
    num_tasks = len(experiment.ledger.plan.steps)
    start = experiment.checkpointer.start or RunProgress(0)
    for number in range(1, num_tasks + 1):
        if number < start.task or (number == start.task and start.steps is None):
            continue
        yield experiment.learner.task(
            number,
            num_tasks,
            experiment.ledger.plan.steps[number - 1],  # which may be another one after every task
            experiment.seed,
            num_update_samples=batches.num_update_samples(number),
            datasets=batches.names.datasets,
            concepts=batches.names.until(number),
            update_batches=partial(batches.once, number),
        )


def left(experiment: Experiment) -> list[tuple[int, int]]:
    """Task and step of every step that is left of the run, in order."""
    start = experiment.checkpointer.start or RunProgress(0)
    first = (start.task + 1, 0) if start.steps is None else (start.task, start.steps)
    planned = enumerate(experiment.ledger.plan.steps, start=1)
    return [(task, step) for task, num_steps in planned for step in range(num_steps) if (task, step) >= first]


def begin(experiment: Experiment, task: Task) -> tuple[torch.optim.Optimizer | None, int]:
    """The optimizer of a task, and its next step: a task that was left is gone on with, its begin charged already."""
    learner = experiment.learner
    start = experiment.checkpointer.start
    if start and start.task == task.number and start.steps is not None:
        return experiment.checkpointer.resume(task), start.steps
    seed_layers(experiment.seed, task.number, "begin")
    with experiment.ledger.hooks(task.number, "begin") as meter, during("hook", task.number):
        meter = experiment.stages.over(meter)
        _hooks(experiment, "begin", task, meter)
        optimizer = learner.optimizer(meter)
    experiment.ledger.check_memory(task.number, "begin", held(learner.methods.parts, learner.network))
    return optimizer, 0


def end(experiment: Experiment, task: Task, meter: Meter) -> dict[str, float]:
    """The hooks of every part at the end of a task: estimate importances, merge. What they have logged."""
    seed_layers(experiment.seed, task.number, "end")
    logged = _hooks(experiment, "end", task, meter)
    learner = experiment.learner
    experiment.ledger.check_memory(task.number, "end", held(learner.methods.parts, learner.network))
    return logged


def _hooks(experiment: Experiment, when: str, task: Task, meter: Meter) -> dict[str, float]:
    """Call a task's hook of every part, each of which has to leave finite weights; what they log, which is written."""
    learner = experiment.learner
    check = partial(check_weights, learner.network, task.number)
    learner.methods.each(f"{when}_task", learner.network, task, meter=meter, after=check)
    logged = learner.logged()
    experiment.record.logged(f"{when}_task", task.number, logged)
    return logged


def train(experiment: Experiment, task: Task, optimizer: torch.optim.Optimizer | None, start: int = 0) -> None:
    """The optimizer steps of one task from ``start`` on. A method that trains nothing takes none."""
    if optimizer is None:
        return
    experiment.learner.train_mode()
    experiment.ledger.follow(period_of(optimizer, experiment.learner.methods.parts))
    batches = experiment.batches.of_task(task.number, task.num_steps, start)
    waited = experiment.stages.waiting(experiment.checkpointer.interruptible(batches))
    for step, batch in enumerate(waited, start):
        if step and experiment.every_steps and step % experiment.every_steps == 0:
            evaluate_within(experiment, task.number, step, optimizer)
        with during("step", task.number, step):
            take_step(experiment, task, step, batch, optimizer)
        experiment.checkpointer.after_step(RunProgress(task.number, step + 1), optimizer)


def evaluate_within(experiment: Experiment, task: int, step: int, optimizer: torch.optim.Optimizer) -> None:
    """Score the model in training after ``step`` steps of a task. The state is kept first: it takes its time."""
    experiment.checkpointer.save(RunProgress(task, step), optimizer)
    experiment.evaluate_within(task, step)
    experiment.learner.train_mode()


def take_step(experiment: Experiment, task: Task, step: int, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    """One step: set its rate, take it under the ledger's meter, charge it, write it, make good what was not finite.

    Args:
        experiment: The run.
        task: The task that the step is of.
        step: The step's number in the task, from 0.
        batch: What is learned from.
        optimizer: The task's optimizer.
    """
    learner = experiment.learner
    ledger = experiment.ledger
    at = StepAt(task.number, step, ledger.applied(task.number, step))
    rate = experiment.learning_rate(task.number, step, task.num_steps)
    set_rate(optimizer, rate)
    tell_pools(optimizer, batch.whole, experiment.batches.shares(task.number))
    seed_layers(experiment.seed, task.number, step)
    experiment.nonfinite.before_step(at, learner, optimizer)
    meter = ledger.meter(task.number, step, batch)
    result = learner.step(optimizer, batch, experiment.stages.over(meter))
    lost = experiment.nonfinite.lost(at, result)
    ledger.charge(task.number, step, batch, meter, lost.steps, result.left_out)
    experiment.stages.step(task.number, batch.num_rows, experiment.charged_in(task.number))
    measured = {"loss": result.loss, "grad_norm": result.norm, "lr": rate, "batch_size": batch.num_rows}
    counted = {**dict(zip(POOLS, batch.whole, strict=True)), **ledger.spent()}
    experiment.record.step(task.number, step, {**measured, **counted, **result.logged}, lost.to_json())
    if result.fault:
        experiment.nonfinite.recover(at, result, learner, optimizer)
