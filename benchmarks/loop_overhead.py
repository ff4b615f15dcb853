"""What the update loop costs beside a bare PyTorch loop: same model, same loader, same arithmetic, one process.

    python benchmarks/loop_overhead.py [KEY=VALUE …]

Both sides fine-tune the pocket model for the same batches, in turns, so that a busy machine slows both. Printed, by the
clock and by processor time, which other work moves less: milliseconds per step of either side (median over rounds),
their ratio (median, and of the fastest rounds), and the loader's own share of a bare step.
"""

import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
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

STEPS, ROUNDS = 60, 9


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
        learning_rate=prepared.learning_rate_of(prepared.plan),
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


def seconds(action: object, *arguments: object) -> np.ndarray:
    """Seconds per step by the clock and of the processor: [2]."""
    started = np.array([time.perf_counter(), time.process_time()])
    action(*arguments)  # type: ignore[operator]
    return (np.array([time.perf_counter(), time.process_time()]) - started) / STEPS


def main() -> None:
    """Measure and print."""
    prepared = prepare(resolve(compose(sys.argv[1:])))
    batches = Batches(prepared.maker, prepared.model, prepared.resolved.config.runtime)
    rows = []
    sides = (bare_loop, our_loop, loader_alone)
    with tempfile.TemporaryDirectory() as folder:
        given = ((prepared, batches), (prepared, batches, Path(folder)), (batches,))
        for number in range(ROUNDS + 1):
            order = (0, 1, 2) if number % 2 else (1, 0, 2)
            taken = {side: seconds(sides[side], *given[side]) for side in order}
            rows.append([taken[side] for side in range(len(sides))])
    times = 1e3 * np.array(rows[1:])  # rounds, sides, clocks
    bare, ours, loader = np.median(times, axis=0)
    ratio = np.median(times[:, 1] / times[:, 0], axis=0)
    least = times[:, 1].min(axis=0) / times[:, 0].min(axis=0)
    print(f"{date.today()}  {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'ms per step':24s}by the clock   by processor time")
    for name, values in (("bare loop", bare), ("fomo's loop", ours), ("the loader alone", loader)):
        print("{:24s}{:12.2f}   {:17.2f}".format(name, *values))
    for name, values in (("ratio", ratio), ("ratio of the fastest", least), ("loader to bare", loader / bare)):
        print("{:24s}{:12.3f}   {:17.3f}".format(name, *values))


if __name__ == "__main__":
    main()
