"""How well several devices share a run's steps: one process against N, in one run, as ratios.

    python benchmarks/devices.py [--processes N] [--write]

`torchrun` starts N processes, as for a run. In turns, round by round, rank 0 takes steps alone on a batch of B rows
while the others wait; all take steps together on the same B rows (fixed global batch); and all on N·B rows (fixed batch
per device). Every process has a core of its own and one thread, the one that is alone too; where there are N GPUs, each
has one. Efficiency is 1 where N devices are N times as fast:

    fixed global batch       t(1, B) ÷ (N × t(N, B))
    fixed batch per device   t(1, B) ÷ t(N, N·B)
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch
from torch.distributed.run import main as torchrun

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Config, resolve
from fomo.method import Task
from fomo.model.clip import train_mode
from fomo.planning.blank import blank_batch
from fomo.planning.planner import stream_shape
from fomo.system.determinism import deterministic
from fomo.system.devices import device_name, synchronize
from fomo.system.joining import joined
from fomo.system.ranks import alone, exchanged, is_first, largest_of, world
from fomo.system.workers import end_now

HERE = Path(__file__).resolve()
WORKER = "FOMO_BENCHMARK_OF_DEVICES"
Step = Callable[[], object]


class Round(NamedTuple):
    """Seconds of a step: one process on B rows, all on B rows, all on as many times B."""

    alone: float
    same_batch: float
    same_share: float


def pinned() -> str:
    """Give this process a core of its own, and say how far that went."""
    torch.set_num_threads(1)
    local = int(os.environ["LOCAL_RANK"])
    if not hasattr(os, "sched_setaffinity"):
        return "cores cannot be chosen on this system"
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[local % len(cores)]})
    wanted = int(os.environ["LOCAL_WORLD_SIZE"])
    return f"{wanted} processes on {len(cores)} cores: they share" if wanted > len(cores) else "a core each"


def stepping(config: Config, sizes: tuple[int, ...]) -> list[Step]:
    """Steps of full fine-tuning on blank batches of so many rows, of which this rank makes its own."""
    model = factory.model(config, random=True)
    learner = factory.learner(config, model.network)
    learner.methods.begin_run(model.network, 0)
    learner.methods.each("begin_task", model.network, Task(1, 2, 100, 0))
    optimizer = learner.optimizer()
    assert optimizer is not None
    train_mode(model.network)
    kinds = [stream_shape(config, model, [1], size).kinds(2)[0] for size in sizes]
    batches = [blank_batch(model, config.runtime.device, counts) for counts in kinds]
    return [lambda batch=batch: learner.step(optimizer, batch) for batch in batches]


def seconds(step: Step, device: str, repeats: int) -> float:
    """Of a step, a mean over some."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    synchronize(device)
    return (time.perf_counter() - start) / repeats


def rounds(config: Config, repeats: int, number: int) -> Iterator[Round]:
    """The rounds after one that warms up; on every rank, and the same on all."""
    device = config.runtime.device
    with alone() if is_first() else nullcontext():
        by_one = stepping(config, (config.batch_size,))[0] if is_first() else None
    together = stepping(config, (config.batch_size, world().size * config.batch_size))
    for done in range(number + 1):
        exchanged(None)
        of_one = 0.0
        if by_one:
            with alone():
                of_one = seconds(by_one, device, repeats)
        exchanged(None)  # the others have waited
        found = Round(*largest_of([of_one, *(seconds(step, device, repeats) for step in together)]))
        if done:
            yield found


def lines(config: Config, options: argparse.Namespace, how: str) -> Iterator[str]:
    """What was measured."""
    found = list(rounds(config, options.steps, options.rounds))
    size = world().size
    same_batch = [each.alone / (size * each.same_batch) for each in found]
    same_share = [each.alone / each.same_share for each in found]
    about = (
        f"{device_name(config.runtime.device)}, {how}, torch {torch.__version__}, Python {platform.python_version()}"
    )
    yield f"{date.today()}  {options.model}, batch {options.batch_size}, {config.runtime.precision}; {about}"
    yield f"load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores, {size} processes included"
    yield _line("one process", options.batch_size, [each.alone for each in found], [])
    yield _line(f"{size}, fixed global batch", options.batch_size, [each.same_batch for each in found], same_batch)
    yield _line(
        f"{size}, fixed batch per device", size * options.batch_size, [each.same_share for each in found], same_share
    )


def _line(name: str, rows: int, taken: list[float], ratios: list[float]) -> str:
    middle = f"  efficiency {statistics.median(ratios):.3f}  ({min(ratios):.3f} to {max(ratios):.3f})" if ratios else ""
    return f"{name:28s}{rows:6d} rows  {1000 * statistics.median(taken):9.2f} ms a step{middle}"


def work(options: argparse.Namespace) -> None:
    """What each of the processes does; the first prints, and maybe writes."""
    how = pinned()
    with joined() as (rank, _):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        own = ["optimizer.lr=1e-3"] if options.model.startswith("pocket") else ["optimizer.lr=1e-5"]
        values = [f"model={options.model}", f"batch_size={options.batch_size}", f"runtime.device={device}", *own]
        config = resolve(compose([*values, "budget=steps", "budget.steps=100"])).config
        with deterministic(config.runtime.deterministic):
            found = "\n".join(lines(config, options, how if device == "cpu" else "a GPU each"))
    if rank == 0:
        print(found, flush=True)
        if options.write:
            HERE.with_name(f"devices-{date.today()}.txt").write_text(found + "\n", encoding="utf-8")
    end_now(0, "")  # a thread of torch's that asks for Python while that is ending would abort the process


def main() -> None:
    """Start the processes, which call this again."""
    gpus = torch.cuda.device_count()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--model", default="ViT-B-16" if gpus > 1 else "pocket_vit")
    parser.add_argument("--batch-size", type=int, default=512 if gpus > 1 else 128)
    parser.add_argument("--steps", type=int, default=5, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if WORKER in os.environ:
        work(options)
        return
    if not 1 < options.processes <= options.batch_size:
        parser.error("--processes: from 2 to the rows of the batch")
    os.environ[WORKER] = "1"
    if gpus < options.processes:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torchrun(["--standalone", f"--nproc-per-node={options.processes}", str(HERE), *sys.argv[1:]])


if __name__ == "__main__":
    main()
