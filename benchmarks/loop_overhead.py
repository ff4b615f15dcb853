"""What the update loop costs beside a bare PyTorch loop: same model, same loader, same arithmetic, one process.

    python benchmarks/loop_overhead.py [KEY=VALUE …]

Both sides fine-tune the pocket model for the same batches, in turns, so that a busy machine slows both. Printed:
seconds per step of either side and their ratio (median over rounds), and the loader's own share of a bare step.
"""

import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch
from open_clip.loss import ClipLoss
from torch import nn

from fomo.budget import Budget
from fomo.budget.ledger import Ledger
from fomo.budget.plan import StepPlan
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.loop import Experiment, train
from fomo.method import Task
from fomo.model.clip import train_mode
from fomo.results.record import Record
from fomo.results.scores import ScoredStream, Scores
from fomo.running.prepared import Prepared
from fomo.running.run import prepare
from fomo.training.loader import Batches

STEPS, ROUNDS = 60, 5


def bare_loop(prepared: Prepared, batches: Batches) -> None:
    """What one would write by hand for the same updates."""
    network, config = prepared.model.network, prepared.resolved.config
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.2, fused=True)
    loss_function = ClipLoss()
    train_mode(network)
    for batch in batches.of_task(2, STEPS):
        loss = loss_function(*network(batch.images, batch.tokens))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        optimizer.step()


def our_loop(prepared: Prepared, batches: Batches, folder: Path) -> None:
    """One task of the benchmark's loop."""
    config = prepared.resolved.config
    record = Record(Scores(folder, ScoredStream("none"), "test", (), 2, {}), lambda task, step, loss: None)
    experiment = Experiment(
        seed=0,
        learner=factory.learner(config, prepared.model.network, prepared.methods),
        batches=batches,
        learning_rate=prepared.learning_rate,
        evaluate=lambda task: None,
        ledger=Ledger(StepPlan(Budget(steps=STEPS), (0, STEPS)), seed=0),
        record=record,
    )
    task = Task(2, 6, STEPS, 0)
    prepared.methods.each("begin_task", prepared.model.network, task)
    train(experiment, task, experiment.learner.optimizer())
    record.close()


def loader_alone(batches: Batches) -> None:
    """Make the same batches and drop them."""
    for _ in batches.of_task(2, STEPS):
        pass


def seconds(action: object, *arguments: object) -> float:
    """Seconds per step."""
    started = time.perf_counter()
    action(*arguments)  # type: ignore[operator]
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    """Measure and print."""
    prepared = prepare(resolve(compose(sys.argv[1:])))
    batches = Batches(prepared.maker, prepared.model, prepared.resolved.config.runtime)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS + 1):
            bare, ours = seconds(bare_loop, prepared, batches), seconds(our_loop, prepared, batches, Path(folder))
            rows.append((bare, ours, seconds(loader_alone, batches)))
    bare, ours, loader = (statistics.median(column) for column in zip(*rows[1:], strict=True))
    ratio = statistics.median(o / b for b, o, _ in rows[1:])
    print(f"{date.today()}  {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"bare loop         {bare * 1e3:8.2f} ms per step")
    print(f"fomo's loop       {ours * 1e3:8.2f} ms per step, ratio {ratio:.3f}")
    print(f"the loader alone  {loader * 1e3:8.2f} ms per step, {loader / bare:.3f} of a bare step")


if __name__ == "__main__":
    main()
