"""The step time of each method against full fine-tuning: same model, same batches, same loop, one process.

    python benchmarks/method_steps.py [--rounds N] [--steps N] [--threads N] [--wall] [KEY=VALUE …]

In every round each preset of `method=` trains a few steps of the second task (so that a regulariser has its anchor),
right after the same steps of fine-tuning, so that a busy machine slows both: a ratio is taken within its pair, and the
table has the median over rounds and their spread. Processor time by default, of all threads; `--wall` for a device.
The loader is not timed: batches are made before. GaLore's first step, which decomposes every gradient, is left out and
printed apart.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch

import fomo
from fomo.batch import Batch
from fomo.config import factory
from fomo.config.compose import builtin_groups, compose
from fomo.config.schema import resolve
from fomo.model.clip import train_mode
from fomo.running.prepared import Prepared
from fomo.running.run import prepare
from fomo.system.devices import synchronize
from fomo.training.loader import Batches
from fomo.training.step import Learner

YARDSTICK = "finetune"
BARS = {"lnfit": 1.0, "bitfit": 1.0, "lora": 1.1}
SETTING = ("model=pocket", "budget=steps", "budget.steps=6000")


@dataclass
class Trial:
    """One method in the middle of its second task."""

    learner: Learner
    optimizer: torch.optim.Optimizer
    first_step: float
    ratios: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def started(name: str, arguments: list[str], batches: list[Batch], folder: Path, clock: Callable[[], float]) -> Trial:
    """After a whole task of one step and the first step of the next one."""
    config = resolve(compose([*SETTING, *arguments, f"method={name}"])).config
    network = factory.model(config).network
    learner = factory.learner(config, network)
    methods = learner.methods
    methods.work_in(folder / name)
    methods.begin_run(network, config.seed)

    def once(size: int, max_samples: int | None = None) -> Iterator[Batch]:
        return iter(batches[:1])

    first, second = (fomo.Task(n, 2, 1000, config.seed, config.batch_size, once) for n in (1, 2))
    begun(learner, first, batches[0], clock)
    methods.each("end_task", network, first)
    return Trial(learner, *begun(learner, second, batches[0], clock))


def begun(
    learner: Learner, task: fomo.Task, batch: Batch, clock: Callable[[], float]
) -> tuple[torch.optim.Optimizer, float]:
    """A task's optimizer after its first step, and that step's seconds."""
    learner.methods.each("begin_task", learner.network, task)
    optimizer = learner.optimizer()
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = 1e-6  # the loss stays where it is, whatever the method
    train_mode(learner.network)
    before = clock()
    learner.step(optimizer, batch)
    return optimizer, clock() - before


def timed(trial: Trial, batches: list[Batch], clock: Callable[[], float]) -> float:
    """Seconds per step."""
    before = clock()
    for batch in batches:
        trial.learner.step(trial.optimizer, batch)
    return (clock() - before) / len(batches)


def measured(trials: dict[str, Trial], batches: list[Batch], rounds: int, clock: Callable[[], float]) -> None:
    """Fill in the ratios; the first round warms up."""
    for number in range(rounds + 1):
        for trial in trials.values():
            yardstick = timed(trials[YARDSTICK], batches, clock)
            seconds = timed(trial, batches, clock)
            if number:
                trial.seconds.append(seconds)
                trial.ratios.append(seconds / yardstick)


def clock_of(device: str, wall: bool) -> Callable[[], float]:
    """Reads processor seconds, or those of the wall once the device is done."""

    def seconds() -> float:
        synchronize(device)
        return time.perf_counter() if wall else time.process_time()

    return seconds


def trained_presets() -> list[str]:
    """Every preset that takes steps, fine-tuning first."""
    names = [name for name in builtin_groups()["method"] if name not in ("frozen", YARDSTICK)]
    return [YARDSTICK, *names]


def line(name: str, trial: Trial) -> str:
    """One row of the table."""
    low, high = min(trial.ratios), max(trial.ratios)
    bar = f"  bar {BARS[name]}" if name in BARS else ""
    first = f"  first step {trial.first_step * 1e3:.0f} ms" if name == "galore" else ""
    step = statistics.median(trial.seconds) * 1e3
    return f"{name:14} {step:8.1f} ms  {statistics.median(trial.ratios):6.3f}  ({low:.3f} to {high:.3f}){bar}{first}"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5, help="in each round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="time by the wall instead of the processor's")
    options, overrides = parser.parse_known_args(arguments)
    torch.set_num_threads(options.threads)
    prepared: Prepared = prepare(resolve(compose([*SETTING, *overrides, f"method={YARDSTICK}"])))
    config = prepared.resolved.config
    batches = list(Batches(prepared.maker, prepared.model, config.runtime).of_task(2, options.steps))
    clock = clock_of(config.runtime.device, options.wall)
    with tempfile.TemporaryDirectory() as folder:
        trials = {name: started(name, overrides, batches, Path(folder), clock) for name in trained_presets()}
    measured(trials, batches, options.rounds, clock)
    kind = "wall" if options.wall else "processor"
    print(f"{date.today()}  {platform.machine()}, {options.threads} threads, torch {torch.__version__}, {kind} time")
    print(f"{config.model['name']}, batch {config.batch_size}: a step, median of {options.rounds} ratios (spread)")
    for name, trial in trials.items():
        print(line(name, trial))


if __name__ == "__main__":
    main()
