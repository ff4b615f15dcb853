"""What checkpoints cost: steps with one written beside them, and the same steps without.

    python benchmarks/checkpoint_overhead.py [KEY=VALUE …]

In turns, so that a busy machine slows both. Printed: the time that the copy holds up the training, all that one
checkpoint adds to the steps beside which it is written (median over rounds), and its share of the default interval.
"""

import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

from fomo.budget import Budget
from fomo.budget.ledger import Ledger
from fomo.budget.plan import Plan
from fomo.budget.planner import learner_of
from fomo.budget.utilisation import Usage
from fomo.compose import compose
from fomo.config import resolve
from fomo.loader import Batches
from fomo.loop import Experiment, Place, train
from fomo.method import Task
from fomo.record import Record
from fomo.resume import Checkpoints
from fomo.run import prepare
from fomo.saver import CheckpointConfig, Saver
from fomo.stopping import Stop

STEPS, ROUNDS = 30, 9
NEVER = CheckpointConfig(every_steps=None, every_minutes=None)


def main() -> None:
    """Measure and print."""
    prepared = prepare(resolve(compose(sys.argv[1:])))
    config, network = prepared.resolved.config, prepared.model.network
    learner = learner_of(config, network, prepared.methods)
    batches = Batches(prepared.maker, prepared.model, config.runtime)
    experiment = Experiment(0, learner, batches, prepared.learning_rate, lambda task: None)
    task = Task(2, 6, STEPS, 0)
    prepared.methods.begin_task(network, task)
    optimizer = learner.optimizer()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS + 1):
            plain, _ = _seconds(experiment, task, optimizer, Path(folder), saving=False)
            rows.append((plain, *_seconds(experiment, task, optimizer, Path(folder), saving=True)))
        size = max(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
    without, with_one, held_up = zip(*rows[1:], strict=True)
    added = statistics.median(b - a for a, b in zip(without, with_one, strict=True))
    minutes = CheckpointConfig().every_minutes or 0
    print(f"{date.today()}  {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"a step                       {statistics.median(without) / STEPS * 1e3:8.2f} ms")
    print(f"a checkpoint                 {size / 2**20:8.1f} MiB")
    print(f"  holds up the training by   {statistics.median(held_up) * 1e3:8.2f} ms")
    print(f"  adds, all in all           {added * 1e3:8.2f} ms, {added / (60 * minutes):.4%} of {minutes:g} minutes")


def _seconds(
    experiment: Experiment, task: Task, optimizer: torch.optim.Optimizer | None, folder: Path, saving: bool
) -> tuple[float, float]:
    """Seconds of the steps, the end of the writing included, and of the copy."""
    ledger, record = Ledger(Plan(Budget(steps=STEPS), (0, STEPS)), seed=0), Record(folder, {}, lambda *step: None)
    saver = Saver(folder / "checkpoint", {}, NEVER)
    keeper = Checkpoints(saver, Stop(), experiment.learner, experiment.batches, ledger, record, Usage("cpu"), None)
    started = time.perf_counter()
    if saving:
        keeper.save(Place(2, 0), optimizer)
    copied = time.perf_counter() - started
    train(experiment, task, ledger, record, optimizer)
    saver.wait()
    record.close()
    return time.perf_counter() - started, copied


if __name__ == "__main__":
    main()
