"""What the ledger's counting costs: a counted step beside one that is not, in turns, in one process.

    python benchmarks/ledger_overhead.py [KEY=VALUE …]

Printed: the ratio of a counted step to a plain one (median over rounds, processor time), what that makes of a task of
60 steps (the pocket's) and of 1,420 (a published run's), by the steps that the ledger counts in each; and the seconds
of the rehearsal beside those of the steps that it plans.
"""

import platform
import statistics
import sys
import time
from datetime import date

import torch

from fomo.budget.flops import FlopMeter, unmetered
from fomo.budget.ledger import CHECKED_SHARE
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.method import Task
from fomo.model.clip import train_mode
from fomo.planning.planner import plan_run
from fomo.running.run import prepare
from fomo.training.loader import Batches

ROUNDS, TASK_STEPS = 25, (60, 1420)


def share_counted(steps: int) -> float:
    """Of a task's steps: the first, the second, the last and some in between."""
    return (3 + CHECKED_SHARE * (steps - 3)) / steps


def main() -> None:
    """Measure and print."""
    prepared = prepare(resolve(compose(sys.argv[1:])))
    config, network, methods = prepared.resolved.config, prepared.model.network, prepared.methods
    started = time.process_time()
    plan_run(config, prepared.model, prepared.maker.pools.update_sizes)
    rehearsal = time.process_time() - started
    learner = factory.learner(config, network, methods)
    methods.each("begin_task", network, Task(2, config.num_tasks, ROUNDS, config.seed))
    optimizer = learner.optimizer()
    assert optimizer is not None
    train_mode(network)
    rows = []
    for batch in Batches(prepared.maker, prepared.model, config.runtime).of_task(2, ROUNDS):
        row = []
        for meter in (unmetered, FlopMeter()):
            started = time.process_time()
            learner.step(optimizer, batch, meter)
            row.append(time.process_time() - started)
        rows.append(row)
    plain, counted = (statistics.median(column) for column in zip(*rows[3:], strict=True))
    extra = statistics.median(c / p for p, c in rows[3:]) - 1
    print(f"{date.today()}  {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"plain step    {plain * 1e3:8.2f} ms")
    print(f"counted step  {counted * 1e3:8.2f} ms, ratio {1 + extra:.3f}")
    for steps in TASK_STEPS:
        print(f"tasks of {steps:5,} steps: ratio {1 + extra * share_counted(steps):.4f}")
    total = sum(prepared.plan.steps) * plain
    print(f"the rehearsal {rehearsal:8.2f} s, {rehearsal / total:.3f} of the run's {total:.0f} s of steps")


if __name__ == "__main__":
    main()
