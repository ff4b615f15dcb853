"""The documented loop led by hand, so that the kit may stop it, look in, and go on with fresh objects."""

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from fomo.batch import Batch
from fomo.budget.flops import FlopMeter, Meter, unmetered
from fomo.budget.held import held
from fomo.budget.ledger import Ledger
from fomo.checkpoint.files import Packed, snapshot
from fomo.checkpoint.state import training_state
from fomo.checkpoint.tree import unpack
from fomo.method import Method, Task
from fomo.model import weights
from fomo.model.clip import train_mode
from fomo.testing.watch import Watched, uncharged, watching
from fomo.testing.world import NUM_STEPS, NUM_TASKS, Lender, World, own_rows, trained_names
from fomo.training.resuming import go_on
from fomo.training.step import Learner, MakeOptimizer

State = dict[str, Tensor]


def stored(state: Mapping[str, Tensor]) -> State:
    """What comes back of a state that was written to a file."""
    return safetensors.torch.load(safetensors.torch.save({k: v.contiguous().clone() for k, v in state.items()}))


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names that are in one alone, or not bit for bit the same in both; NaN equals NaN."""
    return sorted(n for n in {**one, **other} if n not in one or n not in other or not _same(one[n], other[n]))


def _same(one: Tensor, other: Tensor) -> bool:
    bits = (each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (one, other))
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)


class _FrozenTemperature(Method):
    """Takes the parameter that is a scalar out of training."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        for parameter in network.parameters():
            parameter.requires_grad_(parameter.requires_grad and parameter.ndim > 0)

    def begin_task(self, network: nn.Module, task: Task) -> None:
        self.begin_run(network, task.seed)


MakeParts = Callable[[], dict[str, Method]]


def without_temperature(make_parts: MakeParts) -> dict[str, Method]:
    """The parts, none of which gets to train a scalar."""
    parts = make_parts()
    return {"trainable": parts.pop("trainable"), "temperature": _FrozenTemperature(), **parts}


@dataclass
class Saved:
    """A run that was stopped: what a checkpoint keeps of it, and a copy of the working folder."""

    packed: Packed
    folder: Path


@dataclass
class Trial:
    """An experiment of a few steps on a copy of the model; parts that need disk work in ``folder``.

    ``seed`` is what the parts are told, by default that of the world's batches; ``draws`` takes in what they draw with.
    """

    world: World
    make_parts: MakeParts
    make_optimizer: MakeOptimizer
    folder: Path
    num_tasks: int = NUM_TASKS
    num_steps: int = NUM_STEPS
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext
    micro_batch: int | None = None
    ledger: Ledger | None = None
    seed: int | None = None
    draws: dict[str, None] | None = None
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    logged: dict[str, list[float]] = field(default_factory=dict)
    fault: str = ""
    faults: dict[str, None] = field(default_factory=dict)
    free: dict[str, None] = field(default_factory=dict)
    altered: dict[str, None] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.network: nn.Module = copy.deepcopy(self.world.model.network)
        with uncharged(self.faults, self.free, "the constructor"):
            parts = self.make_parts()
        self.methods = Watched(parts, self.faults, self.free, self.draws)
        self.lender = Lender()
        settings = (self.make_optimizer, 1.0, None, self.autocast, self.micro_batch)
        self.learner = Learner(self.network, self.methods, *settings)
        self.optimizer: torch.optim.Optimizer | None = None
        self.methods.work_in(self.folder)
        self.seed = self.world.config.seed if self.seed is None else self.seed
        meter = FlopMeter()
        self.methods.begin_run(self.network, self.seed, meter if self.ledger else unmetered)
        self.begin_phases = meter.phases

    def task(self, number: int) -> Task:
        """A task as the loop makes it; the data of the two tasks come in turn."""
        data = (number - 1) % NUM_TASKS + 1

        def once(size: int, max_samples: int | None = None) -> Iterator[Batch]:
            return (self.lender.lend(own_rows(each)) for each in self.world.once(data, size, max_samples))

        assert self.seed is not None
        return self.learner.task(
            number,
            self.num_tasks,
            self.num_steps,
            self.seed,
            num_update_samples=self.world.num_samples[data - 1],
            datasets=self.world.names.datasets,
            concepts=self.world.names.until(data),
            update_batches=once,
        )

    @contextmanager
    def _hooks(self, number: int, when: str) -> Iterator[Meter]:
        """The meter of hooks, that of the ledger if there is one; what was lent is looked at afterwards."""
        with self.ledger.hooks(number, when) if self.ledger else nullcontext(unmetered) as meter:
            yield meter
        self._look(f"at the {when} of a task")

    def _check_memory(self, number: int, when: Literal["begin", "end"]) -> None:
        if self.ledger:
            self.ledger.check_memory(number, when, held(self.methods.parts, self.network))

    def _look(self, when: str) -> None:
        self.altered |= dict.fromkeys(f"{name} of a batch, {when}" for name in self.lender.altered())

    def begin(self, number: int) -> None:
        """The start of a task: the method, then a fresh optimizer."""
        with self._hooks(number, "begin") as meter:
            self.methods.each("begin_task", self.network, self.task(number), meter=meter)
        self._check_memory(number, "begin")
        self._note(self.learner.logged())
        self.trained |= trained_names(self.network)
        self.optimizer = self.learner.optimizer()
        train_mode(self.network)

    def steps(self, number: int, start: int = 0, stop: int | None = None) -> None:
        """Steps ``start`` to ``stop`` of a task; none where nothing is trained."""
        batches = self.world.of_task[(number - 1) % NUM_TASKS]
        for step in range(self.num_steps)[start:stop] if self.optimizer else ():
            self._step(number, step, self.lender.lend(own_rows(batches[step % len(batches)])))
            self._look("in a step")

    def _step(self, number: int, step: int, batch: Batch) -> None:
        assert self.optimizer is not None
        meter = self.ledger.meter(number, step, batch) if self.ledger else unmetered
        result = self.learner.step(self.optimizer, batch, meter)
        if self.ledger:
            self.ledger.charge(number, step, batch, meter, left_out=result.left_out)
        self.losses.append(result.loss)
        self.norms.append(result.norm)
        self._note(result.logged)
        if result.fault and not self.fault:
            self.fault = f"task {number}, step {step}: {result.fault}"

    def end(self, number: int) -> weights.Weights:
        """The end of a task; the weights that are deployed."""
        with self._hooks(number, "end") as meter:
            self.methods.each("end_task", self.network, self.task(number), meter=meter)
            self._check_memory(number, "end")
            deployed = self.deployed(meter)
        self._note(self.learner.logged())
        return deployed

    def _note(self, logged: Mapping[str, float]) -> None:
        for name, value in logged.items():
            self.logged.setdefault(name, []).append(value)

    def deployed(self, meter: Meter = unmetered) -> weights.Weights:
        """The weights that are deployed; the others have to be back afterwards."""
        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        with watching(self.faults, "deployed"), self.methods.deployed(self.network, meter):
            deployed = weights.folded(self.network)
        moved = differing(before, self.network.state_dict())
        if moved:
            self.faults[f"deployed left {moved[0]} another than before ({len(moved)} in all)"] = None
        return deployed

    def whole(self, number: int) -> weights.Weights:
        """A task; the weights that are deployed after it."""
        self.begin(number)
        self.steps(number)
        return self.end(number)

    def save(self, place: Path, inside: bool) -> Saved:
        """All that a checkpoint keeps: the optimizer ``inside`` of a task alone."""
        if self.folder.is_dir():
            shutil.copytree(self.folder, place)
        return Saved(snapshot(training_state(self.network, self.methods, self.optimizer if inside else None)), place)

    def load(self, saved: Saved, inside: int | None = None) -> None:
        """Go on as a run does; ``inside`` of a task, if the state was kept between two of its steps."""
        state = unpack(saved.packed.state, saved.packed.tensors, self.world.config.runtime.device)
        self.optimizer = go_on(self.learner, state, self.task(inside) if inside else None)
        if inside:
            train_mode(self.network)

    def final(self, deployed: State) -> State:
        """Everything that a later task depends on, and what is deployed."""
        method = {f"the method's {name}": value for name, value in stored(self.methods.state_dict()).items()}
        shown = {f"{name} as deployed": value for name, value in deployed.items()}
        return stored(self.network.state_dict()) | method | shown
