"""The memory that a method really takes on a device: the peak of real steps in two tasks, hooks and all."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from fomo.batch import Batch
from fomo.budget.flops import FlopMeter
from fomo.config import factory
from fomo.config.schema import Config
from fomo.errors import FomoError
from fomo.method import Task
from fomo.model.clip import ClipModel, train_mode
from fomo.planning.blank import blank_batch, blank_task
from fomo.planning.planner import stream_shape
from fomo.stream.definition import NO_NAMES, StreamNames
from fomo.system.determinism import deterministic
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
    with deterministic(config.runtime.deterministic):
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
    task = blank_task(config, model, learner, number, NUM_STEPS, size, names)
    seed_layers(config.seed, number, "begin")
    meter = FlopMeter()
    learner.methods.each("begin_task", model.network, task, meter=meter)
    optimizer = learner.optimizer(meter)  # its states live on until the task has ended, as in a run
    if optimizer is not None:
        _steps(learner, optimizer, blank_batch(model, config.runtime.device, shape.kinds(number)[0]), task)
    learner.methods.each("end_task", model.network, task, meter=meter)
    with learner.methods.deployed(model.network, meter):
        pass


def _steps(learner: Learner, optimizer: torch.optim.Optimizer, batch: Batch, task: Task) -> None:
    train_mode(learner.network)
    for _ in range(task.num_steps):
        fault = learner.step(optimizer, batch, FlopMeter()).fault
        if fault:
            raise FomoError(f"the steps that were to be measured are not finite: {fault}.")
