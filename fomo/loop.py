"""The update loop: what a run does, on one page. Roth et al. 2024, arXiv 2408.14471; hooks: :class:`fomo.Method`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fomo.budget import Ledger
from fomo.loader import Batches
from fomo.method import Batch, Features, Method, Task
from fomo.model import ClipModel, train_mode
from fomo.record import Record
from fomo.runtime import Runtime

MakeOptimizer = Callable[[list[tuple[str, nn.Parameter]]], torch.optim.Optimizer]
LearningRate = Callable[[int, int, int], float]
"""``learning_rate(task, step, num_steps)``, tasks from 1, steps from 0."""


@dataclass(frozen=True)
class Experiment:
    """Everything that a run is made of."""

    seed: int
    model: ClipModel
    method: Method
    batches: Batches
    make_optimizer: MakeOptimizer
    learning_rate: LearningRate
    max_grad_norm: float
    max_logit_scale: float | None
    runtime: Runtime
    evaluate: Callable[[int], None]


def run(experiment: Experiment, ledger: Ledger, record: Record) -> None:
    """Evaluate, then update and evaluate task by task. The method has begun the run already."""
    network, method = experiment.model.network, experiment.method
    experiment.evaluate(0)
    for task in tasks(experiment, ledger):
        method.begin_task(network, task)
        train(experiment, task, ledger, record)
        method.end_task(network, task)
        with method.deployed(network):
            experiment.evaluate(task.number)


def tasks(experiment: Experiment, ledger: Ledger) -> Iterator[Task]:
    """The update steps that the budget plans."""
    seed, batches, autocast = experiment.seed, experiment.batches, experiment.runtime.autocast
    for number, num_steps in enumerate(ledger.planned, start=1):
        once, num_samples = partial(batches.once, number), batches.num_update_samples(number)
        yield Task(number, len(ledger.planned), num_steps, seed, once, num_samples, autocast)


def train(experiment: Experiment, task: Task, ledger: Ledger, record: Record) -> None:
    """The optimizer steps of one task. A method that trains nothing takes none."""
    network, method = experiment.model.network, experiment.method
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if not named:
        return
    optimizer, parameters = experiment.make_optimizer(named), [p for _, p in named]
    train_mode(network)
    for step, batch in enumerate(experiment.batches.of_task(task.number, task.num_steps)):
        rate = experiment.learning_rate(task.number, step, task.num_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(experiment, batch)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, experiment.max_grad_norm)
        method.after_backward(network)
        optimizer.step()
        clamp_temperature(network, experiment.max_logit_scale)
        method.after_step(network)
        ledger.charge(task.number, batch.counts)
        record.step(task.number, step, loss, norm, rate)
    record.flush()


def loss_of(experiment: Experiment, batch: Batch) -> Tensor:
    """The symmetric contrastive loss (Radford et al. 2021, arXiv 2103.00020) and what the method adds to it."""
    network = experiment.model.network
    with parametrize.cached(), experiment.runtime.autocast():
        features = encode(network, batch)
        loss: Tensor = ClipLoss()(*features)
        return experiment.method.loss(network, replace(batch, features=features), loss)


def encode(network: nn.Module, batch: Batch) -> Features:
    """Both towers on a batch."""
    return Features(*network(batch.images, batch.tokens)[:3])


def contrastive(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of image to text and of text to image over the batch, halved."""
    loss: Tensor = ClipLoss()(*encode(network, batch))
    return loss


@torch.no_grad()
def clamp_temperature(network: nn.Module, largest: float | None) -> None:
    """Keep exp(logit_scale) at ``largest`` at most; ``None`` leaves it free, as the reference does."""
    if largest is not None:
        network.get_parameter("logit_scale").clamp_(max=float(torch.tensor(largest).log()))
