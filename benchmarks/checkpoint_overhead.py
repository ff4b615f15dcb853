"""What checkpoints cost: tasks of the default run with the checkpoints that it writes, and the same tasks without.

    python benchmarks/checkpoint_overhead.py [KEY=VALUE …]

Each task ends with two checkpoints, as in a run: when its last step is made, and after its evaluation. They are written
beside the training; evaluations, beside which a run writes most of them, are left out here, and the end of the writing
is waited for, so that a run pays less. In turns, so that a busy machine slows both; medians over pairs. Processor time
is that of all threads. Printed too: what a checkpoint more, every 5 minutes (the default interval), adds.
"""

import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch

from fomo.budget import Budget
from fomo.budget.ledger import Ledger
from fomo.budget.plan import StepPlan
from fomo.checkpoint.writer import CheckpointConfig, CheckpointWriter
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.loop import Checkpointer, Experiment, RunProgress, run
from fomo.results.record import Record
from fomo.results.scores import ScoredStream, Scores
from fomo.running.prepared import Prepared
from fomo.running.resume import DiskCheckpointer
from fomo.running.run import prepare
from fomo.system.signals import Stop
from fomo.system.usage import Usage
from fomo.training.loader import Batches

STEPS, ROUNDS = 60, 7
BAR = 1.02


class Seconds(NamedTuple):
    """Of a task: by the clock, by the processor, and how long copies held up the training."""

    clock: float
    processor: float
    held_up: float = 0.0


class Timed(DiskCheckpointer):
    """Notes how long the training waits."""

    held_up = 0.0

    def save(self, progress: RunProgress, optimizer: torch.optim.Optimizer | None = None) -> None:
        """As it is, timed."""
        began = time.perf_counter()
        super().save(progress, optimizer)
        self.held_up += time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    prepared = prepare(resolve(compose(sys.argv[1:])))
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):
            order = (False, True) if number % 2 else (True, False)
            made = {saving: _task(prepared, Path(folder), saving) for saving in order}
            pairs.append((made[False], made[True]))
        size = max(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
    _print(pairs[1:], size)


def _task(prepared: Prepared, folder: Path, saving: bool) -> Seconds:
    """A task without its evaluation."""
    config = prepared.resolved.config
    learner = factory.learner(config, prepared.model.network, prepared.methods)
    batches = Batches(prepared.maker, prepared.model, config.runtime)
    ledger = Ledger(StepPlan(Budget(steps=STEPS), (STEPS,)), seed=0)
    record = Record(Scores(folder, ScoredStream("none"), "test", (), 1, {}), lambda task, step, loss: None)
    writer = CheckpointWriter(folder / "checkpoint", {}, CheckpointConfig())
    parts = {"batches": batches, "ledger": ledger, "record": record, "usage": Usage("cpu")}
    timed = Timed(writer, Stop(), learner, parts, None)
    checkpointer: Checkpointer = timed if saving else Checkpointer()
    checkpointer.start = RunProgress(0)
    experiment = Experiment(
        0,
        learner,
        batches,
        prepared.learning_rate_of(prepared.plan),
        lambda task: None,
        ledger,
        record,
        checkpointer=checkpointer,
    )
    clock, processor = time.perf_counter(), time.process_time()
    run(experiment)
    writer.wait()
    record.close()
    return Seconds(time.perf_counter() - clock, time.process_time() - processor, timed.held_up)


def _print(pairs: list[tuple[Seconds, Seconds]], size: int) -> None:
    minutes = CheckpointConfig().every_minutes or 0
    print(f"{date.today()}  {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{f'a task of {STEPS} steps':32s}by the clock   by processor time")
    for name, column in (("without checkpoints", 0), ("with its two", 1)):
        clock, processor = (statistics.median(pair[column][kind] for pair in pairs) for kind in (0, 1))
        print(f"  {name:30s}{clock:10.2f} s{processor:17.2f} s")
    clock, processor = (statistics.median(with_[kind] / without[kind] for without, with_ in pairs) for kind in (0, 1))
    print(f"  {'ratio':30s}{clock:10.4f}{processor:19.4f}   bar {BAR}")
    clock, processor = (statistics.median(with_[kind] - without[kind] for without, with_ in pairs) for kind in (0, 1))
    shares = (1 + seconds / 2 / (60 * minutes) for seconds in (clock, processor))
    print(f"{f'one more every {minutes:g} minutes, ratio':32s}" + "{:10.4f}{:19.4f}".format(*shares))
    held_up = statistics.median(with_.held_up for _, with_ in pairs) / 2
    print(f"a checkpoint is of {size / 2**20:.1f} MiB at most and holds up the training by {held_up * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
