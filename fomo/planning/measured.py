"""The memory that a method really takes on a device: the peak of real steps in two tasks, hooks and all."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from fomo.batch import Batch
from fomo.budget.flops import FlopMeter
from fomo.config import factory
from fomo.config.schema import Config
from fomo.data.drawn import Source
from fomo.errors import FomoError
from fomo.method import Task
from fomo.model.clip import ClipModel, train_mode
from fomo.planning.planner import stream_shape
from fomo.stream.definition import NO_NAMES, StreamNames
from fomo.stream.mixture import Counts
from fomo.system.runtime import Runtime
from fomo.training.step import Learner, seed_layers

NUM_TASKS = 2
"""Some methods hold more from the second task on."""
NUM_STEPS = 2
"""The first step of a task sets states up; the second meets them."""


def on_gpu(device: str) -> bool:
    """Whether ``runtime.device`` is a GPU whose allocator tells its peak. Nothing is opened on it.

    Raises:
        FomoError: torch cannot use the device.
    """
    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if cards and device in ("auto", "cuda", *cards):
        return True
    return Runtime(device=device).device.startswith("cuda")


def peak_bytes(config: Config, names: StreamNames = NO_NAMES) -> int:
    """Bytes at the peak of two tasks of two steps, random weights and blank data, as the GPU's allocator tells.

    Meant for a process of its own: what else is on the device in this one counts too.
    """
    model = factory.model(config, random=True)
    torch.cuda.reset_peak_memory_stats(config.runtime.device)
    live_through(config, model, names)
    return torch.cuda.max_memory_allocated(config.runtime.device)


def live_through(config: Config, model: ClipModel, names: StreamNames = NO_NAMES) -> None:
    """Have the configured method go through :data:`NUM_TASKS` tasks as in a run; D_t has the size of a batch.

    FLOPs are counted, as in the first steps of a run: what the budget is planned for is computed then.

    Args:
        config: Says which method, and how large a batch is at its largest.
        model: What is trained.
        names: Datasets and concepts of the tasks.

    Raises:
        FomoError: a step was not finite, so that it ended before its end.
    """
    learner = factory.learner(config, model.network)
    with TemporaryDirectory() as folder:
        learner.methods.work_in(Path(folder))
        learner.methods.begin_run(model.network, config.seed, FlopMeter())
        for number in range(1, min(NUM_TASKS, config.num_tasks) + 1):
            _task(config, model, learner, number, names)


def _task(config: Config, model: ClipModel, learner: Learner, number: int, names: StreamNames) -> None:
    size = max(config.sizes.distinct)
    shape = stream_shape(config, model, [size] * config.num_tasks, size)
    batch = partial(_batch, model, config.runtime.device)
    task = learner.task(
        number,
        config.num_tasks,
        NUM_STEPS,
        config.seed,
        num_update_samples=size,
        datasets=names.datasets,
        concepts=names.until(number),
        update_batches=partial(_once, batch, size),
    )
    seed_layers(config.seed, number, "begin")
    meter = FlopMeter()
    learner.methods.each("begin_task", model.network, task, meter=meter)
    optimizer = learner.optimizer(meter)  # its states live on until the task has ended, as in a run
    if optimizer is not None:
        _steps(learner, optimizer, batch(shape.kinds(number)[0]), task)
    learner.methods.each("end_task", model.network, task, meter=meter)
    with learner.methods.deployed(model.network, meter):
        pass


def _steps(learner: Learner, optimizer: torch.optim.Optimizer, batch: Batch, task: Task) -> None:
    train_mode(learner.network)
    for _ in range(task.num_steps):
        fault = learner.step(optimizer, batch, FlopMeter()).fault
        if fault:
            raise FomoError(f"the steps that were to be measured are not finite: {fault}.")


def _once(batch: Callable[[Counts], Batch], total: int, size: int, max_samples: int | None = None) -> Iterator[Batch]:
    """D_t of ``total`` rows in batches of at most ``size``."""
    for start in range(0, min(total, max_samples or total), size):
        yield batch((0, min(size, total - start), 0))


def _batch(model: ClipModel, device: str, counts: Counts) -> Batch:
    """Rows of the first sample of the first concept, as noise, with empty captions."""
    size = sum(counts)
    length: int = model.network.context_length
    return Batch(
        torch.randn(size, 3, model.image_size, model.image_size, device=device),
        torch.zeros(size, length, dtype=torch.long, device=device),
        counts,
        sources=torch.zeros(size, len(Source._fields), dtype=torch.long, device=device),
    )
