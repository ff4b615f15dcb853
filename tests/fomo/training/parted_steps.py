"""What the ranks of ``test_fsdp.py`` do: tasks of real steps, as the loop takes them, alone or together."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from fomo.batch import Batch
from fomo.checkpoint.files import Packed, snapshot
from fomo.checkpoint.state import check_state, training_state
from fomo.config import factory
from fomo.errors import FomoError
from fomo.method import Method, Task
from fomo.system.parted import own
from fomo.system.ranks import world
from fomo.training.fully_sharded import FullySharded
from fomo.training.loader import Batches
from fomo.training.nonfinite import POLICIES, StepAt
from fomo.training.resuming import go_on
from fomo.training.step import Learner
from tests import tiny

NUM_TASKS = 2
VIT = ("model=pocket", "batch_size=9", "schedule=constant")


class Guest(Method):
    """Looks at weights in a step, and does not say that they may be parts."""

    def after_step(self, network: nn.Module) -> None:
        """Nothing."""


@dataclass
class Steps:
    """Tasks of a few steps on the tiny stream, in double precision."""

    overrides: tuple[str, ...]
    num_steps: int
    dtype: torch.dtype = torch.float64
    spoilt: int | None = None
    """The step whose images are not finite on the first rank."""
    learner: Learner = field(init=False)
    optimizer: torch.optim.Optimizer | None = None

    def __post_init__(self) -> None:
        config = tiny.resolved(*VIT, *self.overrides).config
        model = factory.model(config)
        model.network.to(self.dtype)
        pools = factory.pools(config, factory.stream(config))
        maker = factory.batch_maker(config, model, pools, (self.num_steps,) * NUM_TASKS)
        self.batches = Batches(maker, model, config.runtime)
        self.nonfinite = POLICIES[config.on_nan](2)
        self.learner = factory.learner(config, model.network)
        self.learner.methods.begin_run(model.network, config.seed)

    @property
    def network(self) -> nn.Module:
        return self.learner.network

    def _typed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return (replace(batch, images=batch.images.to(self.dtype)) for batch in batches)

    def task(self, number: int) -> Task:
        def once(size: int, max_samples: int | None = None) -> Iterator[Batch]:
            return self._typed(self.batches.once(number, size, max_samples))

        size = self.batches.num_update_samples(number)
        return self.learner.task(number, NUM_TASKS, self.num_steps, 0, num_update_samples=size, update_batches=once)

    def begin(self, number: int) -> None:
        self.learner.methods.each("begin_task", self.network, self.task(number))
        self.optimizer = self.learner.optimizer()

    def take(self, number: int, first: int = 0, last: int | None = None) -> None:
        """The steps from ``first`` to ``last`` of a task."""
        assert self.optimizer
        self.learner.train_mode()
        batches = self._typed(self.batches.of_task(number, self.num_steps, first))
        for step, batch in zip(range(first, self.num_steps if last is None else last), batches, strict=False):
            at = StepAt(number, step, step)
            self.nonfinite.before_step(at, self.learner, self.optimizer)
            if step == self.spoilt and world().rank == 0:
                batch = replace(batch, images=batch.images * float("nan"))
            result = self.learner.step(self.optimizer, batch)
            self.nonfinite.lost(at, result)
            if result.fault:
                self.nonfinite.recover(at, result, self.learner, self.optimizer)

    def end(self, number: int) -> None:
        self.learner.close()
        self.learner.methods.each("end_task", self.network, self.task(number))

    def kept(self) -> Packed:
        state = training_state(self.learner.stepped, self.learner.methods, self.optimizer)
        check_state(state, 1, 0)
        return snapshot(state)

    def go_on(self, kept: Packed, number: int) -> None:
        self.optimizer = go_on(self.learner, kept.tree("cpu", self.learner.spread.waiting), self.task(number))


def trained(
    overrides: tuple[str, ...], num_steps: int, tasks: int = NUM_TASKS, spoilt: int | None = None
) -> dict[str, Tensor]:
    """The weights after some tasks."""
    steps = Steps(overrides, num_steps, spoilt=spoilt)
    for number in range(1, tasks + 1):
        steps.begin(number)
        steps.take(number)
        steps.end(number)
    return tiny.snapshot(steps.network)


def refused(overrides: tuple[str, ...]) -> None:
    """What a run with these overrides is prepared with is asked whether it can take steps."""
    config = tiny.resolved(*VIT, *overrides).config
    factory.check_strategy(config, factory.methods(config))
    factory.try_optimizer(config, factory.model(config).network)


def in_half(overrides: tuple[str, ...], parted: bool) -> dict[str, Tensor]:
    """The weights after a task in bfloat16; in parts as on a GPU, where autocast has layer norms in full precision."""
    steps = Steps((*overrides, "runtime.precision=bf16"), 3, torch.float32)
    if parted:
        steps.learner = replace(steps.learner, spread=FullySharded(torch.bfloat16))
    norm = functional.layer_norm

    def in_full(rows: Tensor, shape: Any, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        return norm(rows.float(), shape, weight.float(), bias.float(), eps)

    with patch.object(functional, "layer_norm", in_full):
        steps.begin(1)
        steps.take(1)
    steps.end(1)
    return tiny.snapshot(steps.network)


def started(overrides: tuple[str, ...]) -> dict[str, Tensor]:
    """The weights before any step."""
    return tiny.snapshot(Steps(overrides, 1).network)


def stopped(overrides: tuple[str, ...], num_steps: int, after: int) -> Packed:
    """What is kept of the first task after some steps."""
    steps = Steps(overrides, num_steps)
    steps.begin(1)
    steps.take(1, last=after)
    return steps.kept()


def gone_on(overrides: tuple[str, ...], num_steps: int, after: int, kept: Packed) -> Packed:
    """What is kept at the end of a first task that goes on from ``kept``."""
    steps = Steps(overrides, num_steps)
    steps.go_on(kept, 1)
    steps.take(1, first=after)
    return steps.kept()


def num_bytes(overrides: tuple[str, ...]) -> dict[str, int]:
    """What this rank holds while steps are taken: of weights, of the optimizer's state, and of the network itself."""
    steps = Steps(overrides, 1)
    steps.begin(1)
    steps.take(1)
    assert steps.optimizer
    states = [value for state in steps.optimizer.state.values() for value in state.values()]
    return {
        "weights": _size(steps.learner.stepped.parameters()),
        "states": _size(value for value in states if isinstance(value, Tensor)),
        "network": _size(steps.network.parameters()) if steps.learner.stepped is not steps.network else 0,
    }


def _size(tensors: Any) -> int:
    return sum(own(each).untyped_storage().nbytes() for each in tensors)


class Ranks:
    """Processes that compute together; ``ranks(function, …)`` is what each of them returns."""

    def __init__(self, folder: Path, size: int = 2) -> None:
        context = get_context("spawn")
        self._pipes = []
        self._processes = []
        for rank in range(size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, folder / "store", rank, size), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        self.send(function, *arguments)
        return self.answers()

    def send(self, function: Callable[..., Any], *arguments: Any) -> None:
        for pipe in self._pipes:
            pipe.send((function, arguments))

    def answers(self) -> list[Any]:
        answers = [pipe.recv() for pipe in self._pipes]
        faults = [fault for fault, _ in answers if fault]
        if faults:
            raise AssertionError("\n".join(faults))
        return [value for _, value in answers]

    def end(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(60)


@contextmanager
def ranks_in(folder: Path) -> Iterator[Ranks]:
    """Two ranks."""
    ranks = Ranks(folder)
    try:
        yield ranks
    finally:
        ranks.end()


def _serve(pipe: Connection, store: Path, rank: int, size: int) -> None:
    torch.set_num_threads(1)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    while (job := pipe.recv()) is not None:
        function, arguments = job
        try:
            pipe.send(("", function(*arguments)))
        except FomoError as error:  # on all ranks alike
            pipe.send((str(error), None))
        except BaseException:
            pipe.send((traceback.format_exc(), None))
            sys.exit(1)
    dist.destroy_process_group()
